"""What a job asks of a trained model: its clean outcome, looks at it, attacks on it, audits. Imports torch: for children only.

Each is a generator of events; what goes wrong in one attack, look or audit costs no other.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from core.attacks import ATTACKS
from core.attacks.added import ModelTouched
from core.datasets.arrays import Arrays
from core.datasets.staging import images_on
from core.datasets.subsets import Indices, samples_digest, stratified
from core.errors import BadInput, InnateError
from core.evaluation.audit import audit
from core.evaluation.evaluate import CleanPass, TestSet, clean_pass, evaluate
from core.evaluation.traits import measure
from core.events import (
    AuditFailed,
    Diagnosed,
    EvaluationFailed,
    EvaluationFinished,
    Event,
    LookFailed,
    TraitsMeasured,
)
from core.jobs.orders import AuditOrder, Job
from core.lanes.faults import spoils_process
from core.models.pixel_model import PixelModel
from core.plugged import owner
from core.records.attack import AttackSpec
from core.records.outcome import Bools, Diagnosis
from core.training.defenses import DEFENSES
from core.verdict.diagnosis import diagnose, sample_size
from core.verdict.ledgers import speaks_at, survived_at
from core.verdict.trust.looks import fallen_to_looks

TestSets = Mapping[int | None, tuple[TestSet, CleanPass]]
"""The study's `test_samples` → those samples, and the pass over the clean ones."""

_FAULTS = (InnateError, RuntimeError, ValueError, ArithmeticError)
"""What may go wrong in one attack or look, and costs no other."""


def evaluations(job: Job, model: PixelModel, arrays: Arrays, classes: int, stop: Callable[[], bool]) -> Iterator[Event]:
    """The clean outcome on each set of test samples, looks at the model, each attack, then the audits."""
    tests: dict[int | None, tuple[TestSet, CleanPass]] = {}
    wanted = [
        *job.clean,
        *(look.test_samples for look in job.diagnoses),
        *(evaluation.test_samples for evaluation in job.evaluations),
        *(order.test_samples for order in job.audits),
        *job.traits,
    ]
    for test_samples in dict.fromkeys(wanted):
        indices = stratified(arrays.test_labels, test_samples, "test_samples")
        test_set = test_set_of(arrays, indices, test_samples, job.device, job.memory_fraction)
        tests[test_samples] = test_set, clean_pass(model, test_set, classes)
        if test_samples in job.clean:
            yield tests[test_samples][1].outcome
    # Before the attacks: whoever is killed in between has the look made up for with the attacks that are missing.
    looks: list[Diagnosed] = []
    for event in _looks(job, model, arrays, tests, stop):
        if isinstance(event, Diagnosed):
            looks.append(event)
        yield event
    yield from _traits(job, model, tests, stop)
    finished: list[EvaluationFinished] = []
    for event in _attacks(job, model, tests, stop):
        if isinstance(event, EvaluationFinished):
            finished.append(event)
        yield event
    yield from _audits(job, model, arrays, tests, looks, finished, stop)


def _looks(job: Job, model: PixelModel, arrays: Arrays, tests: TestSets, stop: Callable[[], bool]) -> Iterator[Event]:
    for look in job.diagnoses:
        test_set, clean = tests[look.test_samples]
        audited = any((one.spec.norm, one.test_samples) == (look.norm, look.test_samples) for one in job.audits)
        try:
            size = sample_size(_trained_images(job, arrays))
            found = diagnose(model, test_set, clean.outcome.correct, look, stop, size, tried=not audited)
            for number, diagnosis in enumerate(found):
                yield Diagnosed(test_set.digest, look.test_samples, diagnosis, first=number == 0)
        except _FAULTS as error:  # a verdict that lacks one look is worth more than none
            _pass_on(error)
            yield LookFailed(look.norm, reason_of(error), traceback.format_exc())


def _traits(job: Job, model: PixelModel, tests: TestSets, stop: Callable[[], bool]) -> Iterator[Event]:
    for test_samples in job.traits:
        test_set, clean = tests[test_samples]
        try:
            yield TraitsMeasured(test_set.digest, test_samples, measure(model, test_set, clean, stop))
        except _FAULTS as error:
            _pass_on(error)
            yield LookFailed(None, reason_of(error), traceback.format_exc())


def _attacks(job: Job, model: PixelModel, tests: TestSets, stop: Callable[[], bool]) -> Iterator[Event]:
    for wanted in job.evaluations:
        test_set, clean = tests[wanted.test_samples]
        try:
            _refuse_earlier_attack(wanted.attack)
            yield from evaluate(
                model, test_set, wanted.attack, clean.outcome.correct, job.crafting, stop, standing=wanted.standing
            )
        except _FAULTS as error:
            _pass_on(error)
            yield EvaluationFailed(
                wanted.attack, test_set.digest, wanted.test_samples, reason_of(error), traceback.format_exc()
            )


def _audits(
    job: Job,
    model: PixelModel,
    arrays: Arrays,
    tests: TestSets,
    looks: Sequence[Diagnosed],
    finished: Sequence[EvaluationFinished],
    stop: Callable[[], bool],
) -> Iterator[Event]:
    for order in job.audits:
        test_set, clean = tests[order.test_samples]
        done = [one for one in finished if one.samples == test_set.digest]
        seen = [one.diagnosis for one in looks if one.samples == test_set.digest]
        passes = order.passes + sum(one.forward_passes + one.backward_passes for one in done)
        budget = int(order.spec.share * (passes + _training_passes(job, arrays)) / order.of)
        try:
            yield from audit(
                model, test_set, order.spec, _standing(order, clean.outcome.correct, done, seen), budget, stop
            )
        except _FAULTS as error:
            _pass_on(error)
            yield AuditFailed(order.spec, test_set.digest, order.test_samples, reason_of(error), traceback.format_exc())


def _pass_on(error: Exception) -> None:
    """Raises what costs the attacks that come after as well."""
    if spoils_process(error) or isinstance(error, ModelTouched):
        raise error


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
    """What the model's training took, in an attack's passes, forward and backward counted alike; 0 for weights trained elsewhere.

    A step costs one pass forward and two backward, to the weights and to what lies before them; crafting an image one of each
    for every slope. Each counts half: an attack's passes are dearer on small nets, by what it does between them (42 against
    20 µs on an mlp, 194 against 99 on a narrow CNN on the CPU; on the paper's net they cost the same).
    """
    images, defense = _trained_images(job, arrays), job.trial.defense
    if images is None or defense is None:
        return 0
    slopes = DEFENSES[defense.name].gradients(defense.options) * (1.0 - float(defense.options.get("clean_share", 0.0)))
    return int(images * (3 + 2 * slopes) / 2)


def _trained_images(job: Job, arrays: Arrays) -> int | None:
    """How many images the model's training took in, repeats counted; None for weights trained elsewhere."""
    training = job.trial.training
    if training is None:
        return None
    return training.epochs * (job.trial.train_samples or len(arrays.train_labels))


def _refuse_earlier_attack(attack: AttackSpec) -> None:
    """The same of an attack that has become stronger since it was queued, or whose plugin is gone."""
    if attack.engine != ATTACKS.find(attack.name, "attacks").engine:
        refuse_other_version(attack.name)
        raise BadInput(
            "queued by an earlier version of innate, whose attack was another; submit the study again: innate run"
        )


def refuse_other_version(name: str) -> None:
    """Raises BadInput where `name`, whose engine is not what it was, is a plugin's."""
    plugin = owner(name)
    if plugin is not None:
        raise BadInput(
            f"queued with another version of plugin {plugin}, whose {name} was another; submit the study again: innate run"
        )


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


def reason_of(error: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(error, InnateError):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
