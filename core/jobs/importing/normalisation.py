"""What is subtracted from pixels, and what they are divided by, before imported weights see them: as stated, as the file has
it, or as the architecture's option says. Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.datasets.arrays import Arrays
from core.errors import BadInput
from core.jobs.importing.foreign_weights import ForeignWeights
from core.jobs.orders import ImportJob
from core.models.pixel_model import channel_statistics


@dataclass(frozen=True)
class Normalisation:
    """Per channel, for pixels in [0, 1]. `by` is "stated", "file" or "default"; `said` is how the command line says it."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    by: str
    said: str

    @property
    def normalises(self) -> bool:
        return any(self.mean) or any(value != 1.0 for value in self.deviation)


def settled(job: ImportJob, found: ForeignWeights, arrays: Arrays) -> Normalisation:
    """What goes for these weights. Raises BadInput where what was stated, the file and the option contradict each other, and
    for another number of channels."""
    stated = _stated(job, arrays.train_images.shape[1])
    own = _of_file(job, found, arrays.train_images.shape[1])
    if stated is not None:
        if own is not None and not _alike(stated, own):
            raise BadInput(
                f"{job.weights}: has a mean of {_listed(own.mean)} and a deviation of {_listed(own.deviation)} of its own; leave "
                "--mean and --deviation out"
            )
        if job.stated.normalise_stated and stated.normalises != bool(job.trial.architecture.options["normalise"]):
            raise BadInput(f"--set normalise={str(not stated.normalises).lower()} contradicts {stated.said}; give one")
        return stated
    by = "stated" if job.stated.normalise_stated else "default"
    return own or _of_option(bool(job.trial.architecture.options["normalise"]), by, arrays)


def others(settled: Normalisation, arrays: Arrays) -> Iterator[Normalisation]:
    """The other usual ones."""
    channels = arrays.train_images.shape[1]
    for one in (
        _of_option(False, "stated", arrays),
        _of_option(True, "stated", arrays),
        Normalisation((0.5,) * channels, (0.5,) * channels, "stated", "--mean 0.5 --deviation 0.5"),
    ):
        if not _alike(one, settled):
            yield one


def _of_option(normalise: bool, by: str, arrays: Arrays) -> Normalisation:
    channels = arrays.train_images.shape[1]
    mean, deviation = [0.0] * channels, [1.0] * channels
    if normalise:
        mean, deviation = channel_statistics(torch.from_numpy(arrays.train_images.copy()))
    return Normalisation(tuple(mean), tuple(deviation), by, f"--set normalise={str(normalise).lower()}")


def _stated(job: ImportJob, channels: int) -> Normalisation | None:
    if job.stated.mean is None and job.stated.deviation is None:
        return None
    values = []
    for name, given, usual in (("--mean", job.stated.mean, 0.0), ("--deviation", job.stated.deviation, 1.0)):
        of_each = (usual,) if given is None else given
        if len(of_each) not in (1, channels):
            raise BadInput(
                f"{name}: has {len(of_each)} numbers, but images of {job.source.name} have {channels} channels"
            )
        values.append(of_each * channels if len(of_each) == 1 else of_each)
    words = [
        f"--mean {_listed(job.stated.mean)}" if job.stated.mean else "",
        f"--deviation {_listed(job.stated.deviation)}" if job.stated.deviation else "",
    ]
    return Normalisation(values[0], values[1], "stated", " ".join(filter(None, words)))


def _of_file(job: ImportJob, found: ForeignWeights, channels: int) -> Normalisation | None:
    """The file's own mean and deviation, if it is ours; the option has to agree."""
    if found.mean is None or found.deviation is None:
        return None
    architecture = job.trial.architecture
    if found.mean.shape != (1, channels, 1, 1) or found.deviation.shape != (1, channels, 1, 1):
        raise BadInput(f"{job.weights}: normalises {found.mean.numel()} channels, but {job.source.name} has {channels}")
    mean, deviation = found.mean.flatten().double(), found.deviation.flatten().double()
    if not bool(mean.isfinite().all() and deviation.isfinite().all() and (deviation > 0).all()):
        raise BadInput(f"{job.weights}: its mean or deviation is not a number above 0 to divide by")
    own = Normalisation(tuple(mean.tolist()), tuple(deviation.tolist()), "file", "")
    wanted = bool(architecture.options["normalise"])
    if own.normalises != wanted and job.stated.mean is None and job.stated.deviation is None:
        does = "normalises its input" if own.normalises else "does not normalise its input"
        raise BadInput(
            f"{job.weights}: {does}, but {architecture.name} as asked for {'does' if wanted else 'does not'}; "
            f"add --set normalise={str(own.normalises).lower()}"
        )
    return own


def _alike(one: Normalisation, other: Normalisation) -> bool:
    pairs = zip((*one.mean, *one.deviation), (*other.mean, *other.deviation), strict=True)
    return all(abs(left - right) <= 1e-6 for left, right in pairs)


def _listed(values: tuple[float, ...] | None) -> str:
    return ",".join(f"{value:g}" for value in values or ())
