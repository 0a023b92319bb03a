"""Timing a few real batches and images: what is told, what is left out, and how soon it stops."""

import pytest

from core.events import AttackTimed, Finished, NotTimed, Stopped, TrainingTimed, TrialFailed
from core.jobs import timing
from core.jobs.orders import Job, TimingJob
from tests.conftest import plan_of, tiny

ATTACKS = [
    {"name": "fgsm", "eps": [0.1, 0.2]},
    {"name": "pgd", "eps": [0.1, 0.2], "steps": 20},
    {"name": "standard", "eps": [0.1], "steps": 20, "queries": 200},
    {"name": "deepfool"},
    {"name": "cw", "search_steps": 5, "steps": 30},
]


def job_for(cache, tmp_path, document, **given):
    plan = plan_of(document, cache)
    trials = {trial.defense.name: trial for trial in plan.trials}
    like = Job(
        trial=plan.trials[0], source=plan.study.source, evaluations=(), clean=(), attempt=0, folder=tmp_path / "none",
        earlier=(), data_root=cache / "no-data", cache=cache, met=plan.info.digest,
    )  # fmt: skip
    asked = [(trial, None) for trial in trials.values()] + [(plan.trials[0], attack) for attack in plan.study.attacks]
    return TimingJob(like, tuple(asked), **{"each": 10.0, "limit": 60.0, **given})


def test_each_training_and_attack_is_timed_and_nothing_is_kept(cache, tmp_path):
    document = tiny(defenses=["none", {"name": "pgd-at", "eps": 0.1, "steps": 5}], attacks=ATTACKS)
    job = job_for(cache, tmp_path, document)
    *events, last = timing.run_timing(job, lambda: False)
    assert isinstance(last, Finished)
    assert [type(event) for event in events] == [TrainingTimed] * 2 + [AttackTimed] * len(ATTACKS)
    plain, defended = events[:2]
    assert plain.trial.defense.name == "none"
    assert defended.seconds > 2 * plain.seconds > 0, "five slopes more for each step"
    assert min(plain.batches, defended.batches) >= 4
    each = {event.attack.name: event for event in events[2:]}
    assert each["pgd"].seconds > 2 * each["fgsm"].seconds, "forty steps against one"
    assert each["standard"].seconds > each["pgd"].seconds
    assert all(4 <= event.images <= 32 for event in each.values())
    assert list(tmp_path.iterdir()) == []


def test_what_an_attack_costs_is_told_from_a_part_of_it(cache):
    fgsm, pgd, standard, deepfool, cw = plan_of(tiny(attacks=ATTACKS), cache).study.attacks
    assert timing._shortened(fgsm, "cpu") is fgsm
    assert timing._shortened(deepfool, "cpu") is deepfool
    short = timing._shortened(pgd, "cpu")
    assert (short.params["steps"], len(short.eps)) == (10, 1)
    # Two ε of 2·20 + 1 passes against one of 2·10 + 1, three quarters of them made.
    assert timing._times(pgd, short, 10) == pytest.approx(0.75 * 2 * 41 / 21)
    assert timing._shortened(standard, "cpu").name == "apgd"
    assert timing._shortened(cw, "cpu").params["search_steps"] == 1
    assert timing._times(cw, timing._shortened(cw, "cpu"), 10) > 5


def test_where_time_is_up_the_rest_is_told_as_not_timed(cache, tmp_path):
    *events, last = timing.run_timing(job_for(cache, tmp_path, tiny(), limit=0.0), lambda: False)
    assert isinstance(last, Finished)
    assert [type(event) for event in events] == [NotTimed] * 3
    assert "no time left" in events[0].reason


def test_what_cannot_be_attacked_costs_no_other(cache, tmp_path, monkeypatch):
    whole = timing.evaluate

    def evaluate(model, test_set, attack, *more):
        if attack.name == "fgsm":
            raise RuntimeError("can't allocate memory")
        yield from whole(model, test_set, attack, *more)

    monkeypatch.setattr(timing, "evaluate", evaluate)
    found = list(timing.run_timing(job_for(cache, tmp_path, tiny()), lambda: False))
    assert [type(event) for event in found] == [TrainingTimed, NotTimed, AttackTimed, Finished]
    assert (found[1].attack.name, found[1].reason) == ("fgsm", "RuntimeError: can't allocate memory")


def test_it_stops_when_asked_and_says_what_is_wrong_with_the_data(cache, tmp_path):
    job = job_for(cache, tmp_path, tiny())
    asked = iter([False, False, False, True])
    assert [type(event) for event in timing.run_timing(job, lambda: next(asked))] == [Stopped]
    other = type(job.like)(**{**job.like.__dict__, "trial": plan_of(tiny(dataset="mnist5k"), cache).trials[0]})
    (failed,) = timing.run_timing(TimingJob(other, job.asked, 10.0, 60.0), lambda: False)
    assert isinstance(failed, TrialFailed)
    assert "submit the study again" in failed.reason
