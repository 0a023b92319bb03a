"""One trial from start to end: train or resume, then the evaluations that are missing. Imports torch: for children only.

A generator of events that knows nothing of storage or processes; executors only carry what it yields.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import datasets
from core.datasets.arrays import Arrays
from core.datasets.staging import exact_normalisation, images_on, whole
from core.datasets.subsets import holdout, training_subset
from core.engine.victim import EvaluationStopped
from core.environment import environment, memory_beside_others, memory_held, peak_memory
from core.errors import BadInput, InnateError
from core.events import (
    Crashed,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TrialFailed,
)
from core.jobs.company import Company
from core.jobs.evaluations import evaluations, reason_of, refuse_other_version
from core.jobs.orders import Job, TransferJob
from core.lanes.faults import is_out_of_memory, spoils_process
from core.models.architectures import ARCHITECTURES
from core.models.pixel_model import PixelModel, build_model
from core.plugged import versions
from core.records.trial import TrialSpec
from core.training import checkpoints
from core.training.defenses import DEFENSES
from core.training.loop import TrainingData, TrainingStopped, train
from core.training.probe import draw_probe


def run_trial(job: Job, stop: Callable[[], bool], company: Company | None = None) -> Iterator[Event]:
    """The events of `job`, the last of which is TrialFailed, Stopped, Finished, or Crashed on a device that others fill.

    `stop` is asked at every batch of training and every step under attack. Without `company` the process is the trial's own.
    OSError passes through: a full disk is not the trial's fault. In company so does an error that spoils the process.
    """
    try:
        yield from _run(job, stop, company)
    except (TrainingStopped, EvaluationStopped):
        yield Stopped()
    except InnateError as error:
        yield TrialFailed(str(error))
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        if is_out_of_memory(error):
            yield _out_of_memory(job, 0 if company is None else company.beside())
            return
        if company is not None and spoils_process(error):
            raise
        yield TrialFailed(reason_of(error), traceback.format_exc())


def _out_of_memory(job: Job, beside: int) -> TrialFailed | Crashed:
    """Final if the trial had the device to itself; beside other trials or processes it is tried again once there is more room.

    `beside` other trials are in this process.
    """
    if beside:
        trials = "another trial" if beside == 1 else f"{beside} other trials"
        return Crashed(
            f"out of memory on {job.device} beside {trials}",
            None,
            trial_at_fault=False,
            memory_needed=memory_held(job.device),
            beside=beside,
        )
    shared = memory_beside_others(job.device)
    if shared is not None:
        held, others = shared
        reason = f"out of memory on {job.device}, of which other processes hold {others / 2**30:.1f} GiB"
        return Crashed(reason, None, memory_needed=held)
    training = job.trial.training
    at = (
        ""
        if training is None
        else f" at batch size {training.batch_size}; a smaller training.batch_size is another trial"
    )
    return TrialFailed(f"out of memory on {job.device}{at}", traceback.format_exc())


def _run(job: Job, stop: Callable[[], bool], company: Company | None) -> Iterator[Event]:
    if company is None:
        settle_torch(job)
    load = datasets.load_planned if company is None else company.load
    job.folder.mkdir(parents=True, exist_ok=True)
    arrays, seen = load(job.source, job.data_root, job.cache, job.trial.dataset, job.met)
    classes = int(arrays.train_labels.max()) + 1
    data, model = prepare(job, arrays, classes)
    trained, notes = _stored_weights(job, model)
    if trained is None and job.trial.imported is not None:
        raise BadInput("the imported weights are gone or damaged; import them again: innate import")
    if trained is None and job.only_looks:
        yield Finished()  # no look is worth a training
        return
    resume = None if trained else checkpoints.furthest([job.folder, *job.earlier], job.trial.id)
    earlier = trained or resume
    initial = earlier["initial_digest"] if earlier else checkpoints.weights_digest(model.state_dict())
    yield Started(
        environment=environment(
            job.device,
            job.threads,
            job.trial.training.precision if job.trial.training else "fp32",
            lanes=1 if company is None else company.lanes,
            plugins=_plugins(job),
        ),
        pid=os.getpid(),
        initial_digest=initial,
        resumed=checkpoints.unpack(earlier["history"]) if earlier else (),
        notes=notes,
        to_train=trained is None,
        data=seen,
    )
    if trained is None:
        _refuse_earlier_engine(job.trial)
        told = yield from train(job.trial, model, data, job.folder, initial, resume, stop)
        trained = _store_weights(job, model, initial, resume)
        yield _trained(job.folder, trained, job.device, notes=told)
    else:
        model.load_state_dict(trained["model"])
        yield _trained(trained["folder"], trained, job.device, earlier=True)
    yield from evaluations(job, model, arrays, classes, stop)
    yield Finished()


def _plugins(job: Job) -> dict[str, str]:
    """Plugin → version, of those whose architecture, defense, data set or attacks the job asks for."""
    chosen = [one.name for one in (job.trial.architecture, job.trial.defense) if one is not None]
    return versions([*chosen, job.source.kind, *(one.attack.name for one in job.evaluations)])


def _refuse_earlier_engine(trial: TrialSpec) -> None:
    """Raises BadInput for a trial that was queued by an earlier version, whose training gave other weights: its address would
    promise those."""
    assert trial.defense is not None
    if trial.architecture.engine != ARCHITECTURES[trial.architecture.name].engine:
        refuse_other_version(trial.architecture.name)
    if trial.defense.engine != DEFENSES[trial.defense.name].engine(trial.defense.options):
        raise BadInput(
            f"queued by an earlier version of innate, which trained {trial.defense.name} otherwise; submit the study again: "
            "innate run"
        )


def settle_torch(job: Job | TransferJob) -> None:
    """Threads, determinism and the share of the device's memory, for the life of this process."""
    settle_process(job.device, job.threads, job.memory_fraction)


def settle_process(device: str, threads: int, memory_fraction: float | None) -> None:
    """As `settle_torch`, for whatever jobs will run on the device; `settle_thread` is to be called in each of its threads."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # `core.precision` says where
    settle_thread()
    if memory_fraction is not None and device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(memory_fraction, torch.device(device))


def settle_thread() -> None:
    """What torch keeps for each thread."""
    # A denormal costs a hundred times a normal number, and saturated sigmoids make many.
    torch.set_flush_denormal(True)


def prepare(job: Job, arrays: Arrays, classes: int) -> tuple[TrainingData, PixelModel]:
    """Training data on the device, and the model with its initial weights there."""
    chosen = training_subset(arrays.train_labels, job.trial)
    labels = np.asarray(arrays.train_labels[chosen])
    kept, held = np.arange(len(chosen)), np.arange(0)
    if job.trial.training is not None and job.trial.training.validation:
        kept, held = holdout(labels, job.trial.training.validation)
    learned, fraction = chosen[kept], job.memory_fraction
    shown, normalisation = torch.empty((0, *arrays.train_images.shape[1:]), dtype=torch.uint8), None
    if job.trial.architecture.options["normalise"]:
        normalisation = exact_normalisation(arrays, learned, resized=job.source.options.size is not None)
        if normalisation is None:
            shown = whole(arrays.train_images, learned)
    # A few per cent faster on the CPU, and on CUDA what tensor cores want.
    model = build_model(job.trial, shown, classes, normalisation).to(job.device).to(memory_format=torch.channels_last)
    del shown
    return TrainingData(
        images_on(job.device, arrays.train_images, learned, fraction),
        torch.from_numpy(labels[kept]).to(job.device),
        images_on(job.device, arrays.train_images, chosen[held], fraction),
        torch.from_numpy(labels[held]).to(job.device),
        draw_probe(arrays, chosen[kept], chosen[held], job.device)
        if job.trial.defense is not None and "eps" in job.trial.defense.options
        else None,
    ), model


def _stored_weights(job: Job, model: PixelModel) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The trained weights that an earlier attempt left, with the folder they are in; and what was found that is of no use.

    A file that is cut short, or holds another model, is none: a trial of ours is then trained again, to the same weights.
    """
    notes: list[str] = []
    for folder in (job.folder, *job.earlier):
        path = folder / checkpoints.WEIGHTS
        content = checkpoints.read(path, job.trial.id)
        stated = None if content is None else job.trial.imported or content.get("final_digest")
        if content is not None and _is_of(model, content.get("model", {}), stated):
            return {**content, "folder": folder}, tuple(notes)
        if path.exists():
            notes.append(f"the weights of attempt {folder.name} are damaged or another model's, and were left aside")
    return None, tuple(notes)


def _is_of(model: PixelModel, state: Mapping[str, Tensor], digest: str | None) -> bool:
    """Whether `state` has the model's tensors, and is what its digest says: files come from other homes, too."""
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    if shapes != {key: tensor.shape for key, tensor in state.items()}:
        return False
    return digest is None or checkpoints.weights_digest(state) == digest


def _store_weights(job: Job, model: PixelModel, initial: str, resume: dict[str, Any] | None) -> dict[str, Any]:
    """Write the final weights; only then may the state to resume from go.

    An attempt that was killed after its last epoch leaves the next one nothing to train and so no state of its own: the
    epochs are then those of `resume`.
    """
    last = checkpoints.read(job.folder / checkpoints.LAST, job.trial.id) or resume
    history = last["history"] if last else []
    state = model.state_dict()
    content: dict[str, Any] = {
        "trial": job.trial.id,
        "model": state,
        "initial_digest": initial,
        "final_digest": checkpoints.weights_digest(state),
        "history": history,
    }
    checkpoints.write(job.folder / checkpoints.WEIGHTS, content)
    with suppress(OSError):
        (job.folder / checkpoints.LAST).unlink(missing_ok=True)
    return content


def _trained(
    folder: Path, content: dict[str, Any], device: str, *, earlier: bool = False, notes: tuple[str, ...] = ()
) -> Trained:
    return Trained(
        weights=folder / checkpoints.WEIGHTS,
        initial_digest=content["initial_digest"],
        final_digest=content["final_digest"],
        history=checkpoints.unpack(content["history"]),
        peak_memory=peak_memory(device),
        earlier=earlier,
        notes=notes,
    )
