"""One trial from start to end: train or resume, then the evaluations that are missing. Imports torch: for children only.

A generator of events that knows nothing of storage or processes; executors only carry what it yields.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import datasets
from core.attacks import ATTACKS
from core.datasets.arrays import Arrays
from core.datasets.staging import exact_normalisation, images_on, whole
from core.datasets.subsets import Indices, holdout, samples_digest, stratified
from core.engine.victim import EvaluationStopped
from core.environment import environment, memory_beside_others, peak_memory
from core.errors import BadInput, InnateError
from core.evaluation.audit import audit
from core.evaluation.evaluate import TestSet, clean_outcome, evaluate
from core.events import (
    AuditFailed,
    Crashed,
    Diagnosed,
    EvaluationFailed,
    EvaluationFinished,
    Event,
    Finished,
    LookFailed,
    Started,
    Stopped,
    Trained,
    TrialFailed,
)
from core.jobs.orders import AuditOrder, Job, TransferJob
from core.models.pixel_model import PixelModel, build_model
from core.records import AttackSpec, Bools, Diagnosis, TrialSpec
from core.training import checkpoints
from core.training.defenses import DEFENSES
from core.training.loop import TrainingData, TrainingStopped, train
from core.training.probe import draw_probe
from core.verdict.diagnosis import diagnose, sample_size
from core.verdict.ledgers import speaks_at, survived_at
from core.verdict.trust.looks import fallen_to_looks

_FAULTS = (InnateError, RuntimeError, ValueError, ArithmeticError)
"""What may go wrong in one attack or look, and costs no other."""


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
        yield TrialFailed(_reason(error), traceback.format_exc())


def _out_of_memory(job: Job) -> TrialFailed | Crashed:
    """Final if the trial had the device to itself; beside other processes it is tried again once there is more room."""
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


def _run(job: Job, stop: Callable[[], bool]) -> Iterator[Event]:
    settle_torch(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    arrays, seen = datasets.load_planned(job.source, job.data_root, job.cache, job.trial.dataset, job.met)
    classes = int(arrays.train_labels.max()) + 1
    data, model = _prepare(job, arrays, classes)
    trained, notes = _stored_weights(job, model)
    if trained is None and job.trial.imported is not None:
        raise BadInput("the imported weights are gone or damaged; import them again: innate import")
    resume = None if trained else checkpoints.furthest([job.folder, *job.earlier], job.trial.id)
    earlier = trained or resume
    initial = earlier["initial_digest"] if earlier else checkpoints.weights_digest(model.state_dict())
    yield Started(
        environment=environment(
            job.device, job.threads, job.trial.training.precision if job.trial.training else "fp32"
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
        yield from train(job.trial, model, data, job.folder, initial, resume, stop)
        trained = _store_weights(job, model, initial, resume)
        yield _trained(job.folder, trained, job.device)
    else:
        model.load_state_dict(trained["model"])
        yield _trained(trained["folder"], trained, job.device, earlier=True)
    yield from _evaluations(job, model, arrays, classes, stop)
    yield Finished()


def _trained_images(job: Job, arrays: Arrays) -> int | None:
    """How many images the model's training took in, repeats counted; None for weights trained elsewhere."""
    training = job.trial.training
    if training is None:
        return None
    return training.epochs * (job.trial.train_samples or len(arrays.train_labels))


def _refuse_earlier_engine(trial: TrialSpec) -> None:
    """Raises BadInput for a trial that was queued by an earlier version, whose training gave other weights: its address would
    promise those."""
    assert trial.defense is not None
    if trial.defense.engine != DEFENSES[trial.defense.name].engine(trial.defense.options):
        raise BadInput(
            f"queued by an earlier version of innate, which trained {trial.defense.name} otherwise; submit the study again: "
            "innate run"
        )


def _refuse_earlier_attack(attack: AttackSpec) -> None:
    """The same of an attack that has become stronger since it was queued."""
    if attack.engine != ATTACKS[attack.name].engine:
        raise BadInput(
            "queued by an earlier version of innate, whose attack was another; submit the study again: innate run"
        )


def settle_torch(job: Job | TransferJob) -> None:
    """Threads, determinism and the share of the device's memory, for the life of this process."""
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # `core.precision` says where
    # A denormal costs a hundred times a normal number, and saturated sigmoids make many.
    torch.set_flush_denormal(True)
    if job.memory_fraction is not None and job.device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(job.memory_fraction, torch.device(job.device))


def _prepare(job: Job, arrays: Arrays, classes: int) -> tuple[TrainingData, PixelModel]:
    """Training data on the device, and the model with its initial weights there."""
    chosen = stratified(arrays.train_labels, job.trial.train_samples, "train_samples")
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
        if content is not None and _is_of(model, content.get("model", {}), job.trial.imported):
            return {**content, "folder": folder}, tuple(notes)
        if path.exists():
            notes.append(f"the weights of attempt {folder.name} are damaged or another model's, and were left aside")
    return None, tuple(notes)


def _is_of(model: PixelModel, state: Mapping[str, Tensor], imported: str | None) -> bool:
    """Whether `state` has the model's tensors; of imported weights, which nothing can make again, also their digest."""
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    if shapes != {key: tensor.shape for key, tensor in state.items()}:
        return False
    return imported is None or checkpoints.weights_digest(state) == imported


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


def _trained(folder: Path, content: dict[str, Any], device: str, *, earlier: bool = False) -> Trained:
    return Trained(
        weights=folder / checkpoints.WEIGHTS,
        initial_digest=content["initial_digest"],
        final_digest=content["final_digest"],
        history=checkpoints.unpack(content["history"]),
        peak_memory=peak_memory(device),
        earlier=earlier,
    )


def _evaluations(
    job: Job, model: PixelModel, arrays: Arrays, classes: int, stop: Callable[[], bool]
) -> Iterator[Event]:
    """The clean outcome on each set of test samples, looks at the model, each attack, then the audits; a failed attack leaves
    the others alone."""
    test_sets: dict[int | None, TestSet] = {}
    outcomes = {}
    wanted = [
        *job.clean,
        *(look.test_samples for look in job.diagnoses),
        *(evaluation.test_samples for evaluation in job.evaluations),
        *(order.test_samples for order in job.audits),
    ]
    for test_samples in dict.fromkeys(wanted):
        indices = stratified(arrays.test_labels, test_samples, "test_samples")
        test_sets[test_samples] = test_set_of(arrays, indices, test_samples, job.device, job.memory_fraction)
        outcomes[test_samples] = clean_outcome(model, test_sets[test_samples], classes)
        if test_samples in job.clean:
            yield outcomes[test_samples]
    looks: list[tuple[int | None, Diagnosis]] = []
    # Before the attacks: whoever is killed in between has the look made up for with the attacks that are missing.
    for look in job.diagnoses:
        try:
            test_set = test_sets[look.test_samples]
            correct = outcomes[look.test_samples].correct
            audited = any((one.spec.norm, one.test_samples) == (look.norm, look.test_samples) for one in job.audits)
            size = sample_size(_trained_images(job, arrays))
            found = diagnose(model, test_set, correct, look, stop, size, tried=not audited)
            for number, diagnosis in enumerate(found):
                looks.append((look.test_samples, diagnosis))
                yield Diagnosed(test_set.digest, look.test_samples, diagnosis, first=number == 0)
        except _FAULTS as error:  # a verdict that lacks one look is worth more than none
            yield LookFailed(look.norm, _reason(error), traceback.format_exc())
    finished: list[EvaluationFinished] = []
    for evaluation in job.evaluations:
        test_set = test_sets[evaluation.test_samples]
        try:
            _refuse_earlier_attack(evaluation.attack)
            for event in evaluate(
                model,
                test_set,
                evaluation.attack,
                outcomes[evaluation.test_samples].correct,
                job.crafting,
                stop,
                standing=evaluation.standing,
            ):
                if isinstance(event, EvaluationFinished):
                    finished.append(event)
                yield event
        except _FAULTS as error:
            yield EvaluationFailed(
                evaluation.attack, test_set.digest, evaluation.test_samples, _reason(error), traceback.format_exc()
            )
    for order in job.audits:
        test_set = test_sets[order.test_samples]
        done = [one for one in finished if one.samples == test_set.digest]
        standing = _standing(
            order,
            outcomes[order.test_samples].correct,
            done,
            [look for test_samples, look in looks if test_samples == order.test_samples],
        )
        passes = order.passes + sum(one.forward_passes + one.backward_passes for one in done)
        budget = int(order.spec.share * (passes + _training_passes(job, arrays)))
        try:
            yield from audit(model, test_set, order.spec, standing, budget, stop)
        except _FAULTS as error:
            yield AuditFailed(order.spec, test_set.digest, order.test_samples, _reason(error), traceback.format_exc())


def _standing(
    order: AuditOrder, correct: Bools, done: Sequence[EvaluationFinished], looks: Sequence[Diagnosis]
) -> list[Bools]:
    """At each ε of an audit who stands against everything known: what was stored, and what this job has found."""
    spec, found = order.spec, []
    for place, eps in enumerate(spec.eps):
        left = correct & order.standing[place] if order.standing is not None else correct.copy()
        for one in done:
            survived = survived_at(one.ledgers, eps) if one.attack.norm == spec.norm else None
            # One that ran on the survivors at a radius says nothing of smaller ones.
            if survived is not None and speaks_at(one.attack, eps):
                left &= survived
        left[fallen_to_looks(looks, spec.norm, eps)] = False
        found.append(left)
    return found


def _training_passes(job: Job, arrays: Arrays) -> int:
    """Images that the model's training sent through it, forward and backward counted alike; 0 for weights trained elsewhere.

    A step costs one pass forward and two backward, to the weights and to what lies before them; crafting an image one of each
    for every slope.
    """
    images, defense = _trained_images(job, arrays), job.trial.defense
    if images is None or defense is None:
        return 0
    slopes = DEFENSES[defense.name].gradients(defense.options) * (1.0 - float(defense.options.get("clean_share", 0.0)))
    return int(images * (3 + 2 * slopes))


def test_set_of(
    arrays: Arrays,
    indices: Indices,
    asked: int | None,
    device: str,
    memory_fraction: float | None = None,  # noqa: PT028 - no test
) -> TestSet:
    """The test samples `indices` on the device."""
    return TestSet(
        images=images_on(device, arrays.test_images, indices, memory_fraction),
        labels=torch.from_numpy(np.array(arrays.test_labels[indices])).to(device),
        indices=torch.from_numpy(indices).to(device),
        digest=samples_digest(indices),
        asked=asked,
    )


def _reason(error: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(error, InnateError):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
