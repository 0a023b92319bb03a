"""One trial from start to end: train or resume, then the evaluations that are missing. Imports torch: for children only.

A generator of events that knows nothing of storage or processes; executors only carry what it yields.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import checkpoints, datasets
from core.attacks.victim import EvaluationStopped
from core.datasets.arrays import Arrays
from core.datasets.subsets import holdout, samples_digest, stratified
from core.environment import environment, memory_beside_others, peak_memory
from core.errors import InnateError
from core.evaluation import TestSet, clean_outcome, evaluate
from core.events import Crashed, EvaluationFailed, Event, Finished, Started, Stopped, Trained, TrialFailed
from core.model import PixelModel, build_model
from core.records import Job
from core.training import TrainingData, TrainingStopped, train


def run_trial(job: Job, stop: Callable[[], bool]) -> Iterator[Event]:
    """The events of `job`, the last of which is TrialFailed, Stopped, Finished, or Crashed on a device that others fill.

    `stop` is asked at every batch of training and every step under attack. OSError passes through: a full disk is not
    the trial's fault.
    """
    try:
        yield from _run(job, stop)
    except (TrainingStopped, EvaluationStopped):
        yield Stopped()
    except InnateError as error:
        yield TrialFailed(str(error))
    except torch.OutOfMemoryError:
        yield _out_of_memory(job)
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        yield TrialFailed(f"{type(error).__name__}: {_first_line(error)}", traceback.format_exc())


def _out_of_memory(job: Job) -> TrialFailed | Crashed:
    """Final if the trial had the device to itself; beside other processes it is tried again once there is more room."""
    shared = memory_beside_others(job.device)
    if shared is not None:
        held, others = shared
        reason = f"out of memory on {job.device}, of which other processes hold {others / 2**30:.1f} GiB"
        return Crashed(reason, None, memory_needed=held)
    return TrialFailed(
        f"out of memory on {job.device} at batch size {job.trial.training.batch_size}; "
        "a smaller training.batch_size is another trial",
        traceback.format_exc(),
    )


def _run(job: Job, stop: Callable[[], bool]) -> Iterator[Event]:
    _settle_torch(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    arrays = datasets.load(job.source, job.data_root, job.cache)
    classes = int(arrays.train_labels.max()) + 1
    data, model = _prepare(job, arrays, classes)
    trained = _stored_weights(job)
    resume = None if trained else checkpoints.furthest([job.folder, *job.earlier], job.trial.id)
    earlier = trained or resume
    initial = earlier["initial_digest"] if earlier else checkpoints.weights_digest(model.state_dict())
    yield Started(
        environment=environment(job.device, job.threads, job.trial.training.precision),
        pid=os.getpid(),
        initial_digest=initial,
        resumed=checkpoints.unpack(earlier["history"]) if earlier else (),
    )
    if trained is None:
        yield from train(job.trial, model, data, job.folder, initial, resume, stop)
        trained = _store_weights(job, model, initial, resume)
        yield _trained(job.folder, trained, job.device)
    else:
        model.load_state_dict(trained["model"])
        yield _trained(trained["folder"], trained, job.device)
    yield from _evaluations(job, model, arrays, classes, stop)
    yield Finished()


def _settle_torch(job: Job) -> None:
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # A denormal costs a hundred times a normal number, and saturated sigmoids make many.
    torch.set_flush_denormal(True)
    if job.memory_fraction is not None and job.device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(job.memory_fraction, torch.device(job.device))


def _prepare(job: Job, arrays: Arrays, classes: int) -> tuple[TrainingData, PixelModel]:
    """Training data on the device, and the model with its initial weights there."""
    chosen = stratified(arrays.train_labels, job.trial.train_samples, "train_samples")
    labels = np.asarray(arrays.train_labels[chosen])
    kept, held = np.arange(len(chosen)), np.arange(0)
    if job.trial.training.validation:
        kept, held = holdout(labels, job.trial.training.validation)
    images = torch.from_numpy(np.array(arrays.train_images[chosen[kept]]))
    # A few per cent faster on the CPU, and on CUDA what tensor cores want.
    model = build_model(job.trial, images, classes).to(job.device).to(memory_format=torch.channels_last)
    return TrainingData(
        images.to(job.device),
        torch.from_numpy(labels[kept]).to(job.device),
        torch.from_numpy(np.array(arrays.train_images[chosen[held]])).to(job.device),
        torch.from_numpy(labels[held]).to(job.device),
    ), model


def _stored_weights(job: Job) -> dict[str, Any] | None:
    """The trained weights that an earlier attempt left, with the folder they are in."""
    for folder in (job.folder, *job.earlier):
        content = checkpoints.read(folder / checkpoints.WEIGHTS, job.trial.id)
        if content is not None:
            return {**content, "folder": folder}
    return None


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


def _trained(folder: Path, content: dict[str, Any], device: str) -> Trained:
    return Trained(
        weights=folder / checkpoints.WEIGHTS,
        initial_digest=content["initial_digest"],
        final_digest=content["final_digest"],
        history=checkpoints.unpack(content["history"]),
        peak_memory=peak_memory(device),
    )


def _evaluations(
    job: Job, model: PixelModel, arrays: Arrays, classes: int, stop: Callable[[], bool]
) -> Iterator[Event]:
    """The clean outcome on each set of test samples, then each attack; a failed attack leaves the others alone."""
    test_sets: dict[int | None, TestSet] = {}
    outcomes = {}
    wanted = [*job.clean, *(evaluation.test_samples for evaluation in job.evaluations)]
    for test_samples in dict.fromkeys(wanted):
        indices = stratified(arrays.test_labels, test_samples, "test_samples")
        test_sets[test_samples] = TestSet(
            images=torch.from_numpy(np.array(arrays.test_images[indices])).to(job.device),
            labels=torch.from_numpy(np.array(arrays.test_labels[indices])).to(job.device),
            indices=torch.from_numpy(indices).to(job.device),
            digest=samples_digest(indices),
            asked=test_samples,
        )
        outcomes[test_samples] = clean_outcome(model, test_sets[test_samples], classes)
        if test_samples in job.clean:
            yield outcomes[test_samples]
    for evaluation in job.evaluations:
        test_set = test_sets[evaluation.test_samples]
        try:
            yield from evaluate(
                model, test_set, evaluation.attack, outcomes[evaluation.test_samples].correct, job.crafting, stop
            )
        except (InnateError, RuntimeError, ValueError, ArithmeticError) as error:
            yield EvaluationFailed(
                evaluation.attack,
                test_set.digest,
                evaluation.test_samples,
                str(error) if isinstance(error, InnateError) else f"{type(error).__name__}: {_first_line(error)}",
                traceback.format_exc(),
            )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "no message"
