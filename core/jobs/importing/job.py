"""Weights that were trained elsewhere, held against an architecture and a data set, and kept in our own form. Imports
torch: for children only.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core import datasets
from core.environment import environment
from core.errors import BadInput, InnateError
from core.events import Event, Finished, Imported, Stopped, TrialFailed
from core.jobs.importing import foreign_weights
from core.jobs.importing.foreign_weights import ForeignWeights
from core.jobs.importing.weight_shapes import by_order, difference, explained, shapes_of
from core.jobs.orders import ImportJob
from core.models.pixel_model import PixelModel, build_model
from core.training import checkpoints

_TRIED = 256
"""Test images on which the logits are looked at before anything is written."""


def run_import(job: ImportJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """Imported and Finished, or TrialFailed with one line that says what does not fit; then nothing has been written."""
    torch.set_num_threads(1)
    try:
        yield from _run(job, stop)
    except InnateError as error:
        yield TrialFailed(str(error))
    except OSError as error:
        yield TrialFailed(f"{error.filename or job.folder}: {error.strerror or error}; nothing was imported")
    except (RuntimeError, ValueError, TypeError) as error:
        yield TrialFailed(f"{job.weights}: {type(error).__name__}: {error}", traceback.format_exc())


def _run(job: ImportJob, stop: Callable[[], bool]) -> Iterator[Event]:
    found = foreign_weights.read(job.weights)
    arrays, seen = datasets.load_planned(job.source, job.data_root, job.cache, job.trial.dataset, job.met)
    classes = int(arrays.train_labels.max()) + 1
    model = build_model(job.trial, torch.from_numpy(arrays.train_images.copy()), classes)
    notes = fit(job, model, found, arrays.train_images.shape[1:], classes)
    tried = torch.from_numpy(arrays.test_images[:_TRIED].copy()).to(torch.float32).div_(255.0)
    with torch.inference_mode():
        logits = model.eval()(tried)
    if not bool(logits.isfinite().all()):
        raise BadInput(f"{job.weights}: the model answers test images of {job.source.name} with NaN or infinite logits")
    if stop():
        yield Stopped()
        return
    state = model.state_dict()
    digest = checkpoints.weights_digest(state)
    trial = replace(job.trial, imported=digest)
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
    yield Imported(trial, path, digest, environment("cpu", 1, "fp32"), notes, seen)
    yield Finished()


def fit(
    job: ImportJob, model: PixelModel, found: ForeignWeights, shape: tuple[int, int, int], classes: int
) -> tuple[str, ...]:
    """Load what was found into `model`; returns what the user should know of how.

    Tensors go by name; where no name is shared but the shapes agree one by one, by order. Raises BadInput for what does
    not fit and for weights that are not finite.
    """
    expected = shapes_of(model.network.state_dict())
    given = shapes_of(found.network)
    weights, notes = found.network, []
    if difference(expected, given):
        renamed = by_order(expected, given)
        if renamed is None:
            raise BadInput(f"{job.weights}: {explained(job.trial, job.source.name, shape, classes, expected, given)}")
        weights = {ours: found.network[theirs] for ours, theirs in renamed.items()}
        ours, theirs = next(iter(renamed.items()))
        notes.append(f"no name is shared, so tensors were taken in their order ({theirs} as {ours}, …)")
    _load(job, model.network.state_dict(), weights)
    if found.mean is not None and found.deviation is not None:
        _load_normalisation(job, model, found.mean, found.deviation)
    return tuple(notes)


def _load(job: ImportJob, state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy into the tensors of `state`, in their precision."""
    for key, value in weights.items():
        target = state[key]
        if target.is_floating_point() != value.is_floating_point():
            raise BadInput(f"{job.weights}: {key} holds {_dtype(value)}, {_dtype(target)} expected")
        target.copy_(value)
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if broken:
        hold = f"and {len(broken) - 1} more hold" if len(broken) > 1 else "holds"
        raise BadInput(f"{job.weights}: {broken[0]} {hold} NaN or infinite weights; the training had diverged")


def _load_normalisation(job: ImportJob, model: PixelModel, mean: Tensor, deviation: Tensor) -> None:
    """The file's own mean and deviation in place of the training images'; the option has to agree."""
    architecture = job.trial.architecture
    wanted = bool(architecture.options["normalise"])
    if mean.shape != model.mean.shape or deviation.shape != model.deviation.shape:
        raise BadInput(
            f"{job.weights}: normalises {mean.numel()} channels, but {job.source.name} has {model.mean.numel()}"
        )
    if not bool(mean.isfinite().all() and deviation.isfinite().all() and (deviation > 0).all()):
        raise BadInput(f"{job.weights}: its mean or deviation is not a number above 0 to divide by")
    normalises = bool((mean != 0).any() or (deviation != 1).any())
    if normalises != wanted:
        does = "normalises its input" if normalises else "does not normalise its input"
        raise BadInput(
            f"{job.weights}: {does}, but {architecture.name} as asked for {'does' if wanted else 'does not'}; "
            f"add --set normalise={str(normalises).lower()}"
        )
    model.mean.copy_(mean)
    model.deviation.copy_(deviation)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
