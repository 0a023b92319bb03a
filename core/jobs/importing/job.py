"""Weights that were trained elsewhere, held against an architecture and a data set, and kept in our own form. Imports
torch: for children only.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from core import datasets
from core.datasets.arrays import Arrays
from core.datasets.subsets import stratified
from core.environment import environment
from core.errors import BadInput, InnateError
from core.events import Event, Finished, Imported, Stopped, TrialFailed
from core.jobs.importing import foreign_weights, normalisation
from core.jobs.importing.accuracy import ImportStopped, clearly_better, correct, tolerance
from core.jobs.importing.fitting import CLOSE, Fitted, chosen, fitted, told_by_images
from core.jobs.importing.foreign_weights import Candidate
from core.jobs.importing.norm_order import statistics_gap
from core.jobs.importing.normalisation import Normalisation
from core.jobs.orders import ImportJob
from core.models.pixel_model import PixelModel
from core.plugged import versions
from core.records.trial import ImportRecord, TrialSpec
from core.training import checkpoints

_TRIED = 256
"""Test images on which the logits are looked at before anything is written."""
_COMPARED = 1000
"""Test images on which the usual normalisations are compared where none was stated, and training images of which the statistics
of batch norms are compared with those in the file."""
_LEARNED = 3.0
"""Times the share of the most frequent class: a model that is right less often says nothing by its accuracy."""


def run_import(job: ImportJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """Imported and Finished, or TrialFailed with one line that says what does not fit; then nothing has been written."""
    torch.set_num_threads(1)
    try:
        yield from _run(job, stop)
    except ImportStopped:
        yield Stopped()
    except InnateError as error:
        yield TrialFailed(str(error))
    except OSError as error:
        yield TrialFailed(f"{error.filename or job.folder}: {error.strerror or error}; nothing was imported")
    except (RuntimeError, ValueError, TypeError) as error:
        yield TrialFailed(f"{job.weights}: {type(error).__name__}: {error}", traceback.format_exc())


@dataclass(frozen=True)
class _Reading:
    """The weights as a trial without its digest, their model, and how it was come by."""

    trial: TrialSpec
    model: PixelModel
    record: ImportRecord
    notes: tuple[str, ...]


def _run(job: ImportJob, stop: Callable[[], bool]) -> Iterator[Event]:
    candidates = foreign_weights.read(job.weights, job.stated.key)
    arrays, seen = datasets.load_planned(job.source, job.data_root, job.cache, job.trial.dataset, job.met)
    reading = _read(job, candidates, arrays, stop)
    tried = torch.from_numpy(arrays.test_images[:_TRIED].copy()).to(torch.float32).div_(255.0)
    with torch.inference_mode():
        logits = reading.model.eval()(tried)
    if not bool(logits.isfinite().all()):
        raise BadInput(f"{job.weights}: the model answers test images of {job.source.name} with NaN or infinite logits")
    if stop():
        raise ImportStopped
    state = reading.model.state_dict()
    digest = checkpoints.weights_digest(state)
    trial = replace(reading.trial, imported=digest)
    job.folder.mkdir(parents=True)
    path = job.folder / checkpoints.WEIGHTS
    content: dict[str, Any] = {
        "trial": trial.id,
        "model": state,
        "initial_digest": None,
        "final_digest": digest,
        "history": [],
    }
    checkpoints.write(path, content)
    used = versions([trial.architecture.name, job.source.kind])
    yield Imported(
        trial, path, digest, environment("cpu", 1, "fp32", plugins=used), reading.record, reading.notes, seen
    )
    yield Finished()


def _read(job: ImportJob, candidates: Sequence[Candidate], arrays: Arrays, stop: Callable[[], bool]) -> _Reading:
    """The one way in which the weights can be meant; raises BadInput where there is none, or more than one."""
    channels, height, width = arrays.train_images.shape[1:]
    classes = int(arrays.train_labels.max()) + 1
    candidate, told = chosen(job, candidates, (channels, height, width), classes)
    ways = fitted(job, candidate, (channels, height, width), classes)
    layer = normalisation.settled(job, candidate.weights, arrays)
    shown = _training_images(arrays)
    gaps = [statistics_gap(_model(way, layer), shown) for way in ways]
    gap_of = {way.norm: gap for way, gap in zip(ways, gaps, strict=True)}
    ways = list(told_by_images(ways, gaps, job.trial.activation))
    if job.stated.expect_clean is not None:
        way, accuracy = _expected(job, ways, layer, arrays, len(candidates) > 1, stop)
    elif len(ways) > 1:
        fits_neither = all(gap is not None and gap > CLOSE for gap in gaps)
        raise BadInput(
            f"{job.weights}: nothing in it says whether batch norm stands before or after the activation; add --set norm=before, "
            "--set norm=after, or --expect-clean with the accuracy that it is known to have"
            + (" (its statistics fit neither: is it another activation or normalisation?)" if fits_neither else "")
        )
    else:
        (way,), accuracy = ways, None
        if layer.by == "default":
            _refuse_worse_normalisation(job, way, layer, arrays, stop)
    guesses = _guesses(way, layer, gap_of[way.norm]) if accuracy is None else []
    record = ImportRecord(
        key=candidate.key,
        placed_by=way.matched.by,
        norm=way.norm,
        norm_by=way.norm_by,
        mean=layer.mean,
        deviation=layer.deviation,
        normalised_by=layer.by,
        expected_clean=job.stated.expect_clean,
        clean_accuracy=accuracy,
        guesses=tuple(guesses),
    )
    options = {**way.trial.architecture.options, "normalise": layer.normalises}
    trial = replace(way.trial, architecture=replace(way.trial.architecture, options=options))
    return _Reading(trial, _model(way, layer), record, tuple(filter(None, [told, *_notes(way, guesses)])))


def _model(way: Fitted, layer: Normalisation) -> PixelModel:
    return PixelModel(way.network, layer.mean, layer.deviation)


def _training_images(arrays: Arrays) -> torch.Tensor:
    """[n, c, h, w]: pixels in [0, 1] to hold the statistics of batch norms against."""
    size = max(_COMPARED, len(set(arrays.train_labels.tolist())))
    indices = stratified(arrays.train_labels, size if size < len(arrays.train_labels) else None, "training images")
    return torch.from_numpy(np.array(arrays.train_images[indices])).to(torch.float32).div_(255.0)


def _guesses(way: Fitted, layer: Normalisation, gap: float | None) -> list[str]:
    """What nothing proves of a reading. A file of ours is told by its form, whatever its training made of the statistics."""
    found = [way.matched.guess] if way.matched.guess else []
    if gap is not None and gap > CLOSE and not (layer.by == "file" and way.matched.by == "name"):
        found.append(
            f"the statistics of its batch norms are {gap:.1f} deviations off what these images give: the activation, the "
            "normalisation or the order of its layers may be another"
        )
    return found


def _notes(way: Fitted, guesses: Sequence[str]) -> Iterator[str]:
    """What the user should know of how the weights were read."""
    if way.matched.by != "name":
        ours, theirs = next(iter(way.matched.names.items()))
        how = "their shapes" if way.matched.by == "shape" else "their order"
        yield f"names differ, so tensors were placed by {how} ({theirs} as {ours}, …)"
    for guess in guesses:
        yield f"a guess: {guess}; --expect-clean can prove it"
    if way.norm is not None and way.norm_by != "stated":
        yield f"batch norm stands {way.norm} the activation, by its {way.norm_by}"


def _expected(
    job: ImportJob, ways: Sequence[Fitted], layer: Normalisation, arrays: Arrays, keys: bool, stop: Callable[[], bool]
) -> tuple[Fitted, float]:
    """The way whose clean accuracy is what was expected, and that accuracy."""
    assert job.stated.expect_clean is not None
    total = len(arrays.test_labels)
    allowed = tolerance(job.stated.expect_clean, total)
    measured = [(way, float(correct(_model(way, layer), arrays, None, stop).mean())) for way in ways]
    agreeing = [(way, accuracy) for way, accuracy in measured if abs(accuracy - job.stated.expect_clean) <= allowed]
    if len(agreeing) == 1:
        ((way, accuracy),) = agreeing
        return (way if way.norm_by or way.norm is None else replace(way, norm_by="clean accuracy")), accuracy
    found = ", ".join(
        f"{accuracy:.2%}" + (f" with norm={way.norm}" if len(ways) > 1 else "") for way, accuracy in measured
    )
    line = f"{job.weights}: clean accuracy on the {total:,} test images is {found}"
    if agreeing:
        raise BadInput(
            f"{line}, which agrees with --expect-clean {job.stated.expect_clean:g} either way; add --set norm=before or after"
        )
    line += f", expected were {job.stated.expect_clean:.2%} ± {100 * allowed:.2f} points"
    if layer.by != "file":
        for other in normalisation.others(layer, arrays):
            for way in ways:
                accuracy = float(correct(_model(way, other), arrays, None, stop).mean())
                if abs(accuracy - job.stated.expect_clean) <= allowed:
                    raise BadInput(f"{line}; with {other.said} it is {accuracy:.2%}")
    causes = ["the activation"]
    if layer.by != "file":
        causes.append("the normalisation (--mean, --deviation)")
    if ways[0].norm is not None and len(ways) == 1:
        causes.append(f"where batch norm stands (--set norm={'after' if ways[0].norm == 'before' else 'before'})")
    if keys:
        causes.append("the --key")
    raise BadInput(f"{line}; what may be wrong: {', '.join(causes)}, other data")


def _refuse_worse_normalisation(
    job: ImportJob, way: Fitted, layer: Normalisation, arrays: Arrays, stop: Callable[[], bool]
) -> None:
    """Raises BadInput where nobody said how images are normalised and another usual way suits the weights clearly better."""
    labels = arrays.test_labels
    classes = len(set(labels.tolist()))
    size = min(len(labels), max(_COMPARED, classes))
    indices = stratified(labels, size, "test images")
    chance = max((labels[indices] == label).mean() for label in set(labels.tolist()))
    as_asked = correct(_model(way, layer), arrays, indices, stop)
    rivals = [
        (correct(_model(way, other), arrays, indices, stop), other) for other in normalisation.others(layer, arrays)
    ]
    best, other = max(rivals, key=lambda one: one[0].sum())
    if best.mean() >= min(_LEARNED * chance, 0.9) and clearly_better(best, as_asked):
        raise BadInput(
            f"{job.weights}: is right on {best.mean():.1%} of {size:,} test images with {other.said}, on "
            f"{as_asked.mean():.1%} with {layer.said}, {job.trial.architecture.name}'s default; say which: {other.said}, "
            f"{layer.said}, or other --mean and --deviation"
        )
