"""The ways to attack harder: what each asks of the worker, the command that does the same, and what it is said to cost."""

import shlex

import pytest

from app.report import harder
from app.report.attack_cost import Cost, cost_of_attacks, cost_of_climb, cost_text
from app.tui.followup.harder import options_of, shortened
from app.worker import attacking, changes
from core.attacks import ATTACKS, resolve
from core.attacks.price import price
from core.errors import BadInput, NotFound
from core.records.attack import Threat
from core.study.resolve import apply_overrides
from storage import database, queries, rates, studies, submitting
from storage.changes import Attack, Audit, Escalate, Level
from tests.conftest import plan_of, tiny
from tests.storage import stored

PASSES, SECONDS, IMAGES = 150, 0.5, 60
"""Of every evaluation that `stored` makes."""


@pytest.fixture
def db(home, cache):
    """Four models, three of them done."""
    made = database.connect(home.database)
    submitting.submit(made, plan_of(tiny(seeds=1), cache))
    for seed in range(3):
        stored.run_one(made, home, seed=seed)
    return made


@pytest.fixture
def ids(db):
    return [row.trial_id for row in queries.trials(db, "tiny")]


def way(db, target, name):
    return next(one for one in harder.ways(db, target) if one.name == name)


@pytest.mark.parametrize(
    ("name", "options", "passes"),
    [
        ("fgsm", {}, 3),
        ("noise", {"restarts": 4}, 12),
        ("pgd", {"steps": 40, "restarts": 2}, 162),
        ("apgd", {"steps": 100}, 201),
        ("apgd", {"steps": 100, "loss": "targeted"}, 201 * 9),
        ("square", {"queries": 300}, 300),
        ("fmn", {"steps": 40}, 95),
        ("cw", {"steps": 200, "search_steps": 6}, 2415),
        ("deepfool", {"steps": 50}, 565),
        ("standard", {}, 201 * 10 + 215 + 5000),
    ],
)
def test_what_an_attack_costs_at_most_is_told_from_its_parameters(name, options, passes):
    radii = {} if ATTACKS[name].minimum_norm else {"eps": [0.1]}
    assert price(resolve(name, {**radii, **options}, "test"), 10) == passes


def test_the_untrained_are_left_out_and_none_trained_is_a_mistake(db, ids):
    target = harder.target_of(db, "tiny", [*ids, ids[0]])
    assert (target.trials, target.finished, target.asked) == (tuple(ids[:3]), tuple(ids[:3]), 4)
    assert (target.threat, target.radii, target.strongest.name) == (Threat("linf", 0.1), (0.1, 0.2), "pgd")
    with pytest.raises(BadInput, match="this run is not trained, so"):
        harder.target_of(db, "tiny", ids[3:])
    with pytest.raises(NotFound):
        harder.target_of(db, "tini", ids)


def test_each_way_asks_for_what_it_says(db, ids):
    found = harder.ways(db, harder.target_of(db, "tiny", ids[:2]))
    assert [one.name for one in found] == [
        *("escalate", "apgd", "apgd targeted", "square", "standard", "level the study", "audit in full depth")
    ]
    chosen, eps = tuple(ids[:2]), {"norm": "linf", "eps": [0.1, 0.2]}
    assert found[0].change == Escalate("tiny", chosen, Threat("linf", 0.1))
    assert found[2].change == Attack("tiny", chosen, "apgd", {**eps, "loss": "targeted"})
    assert found[-2].change == Level("tiny")
    assert found[-1].change == Audit("tiny", {"depth": "full", "samples": 64})
    assert found[0].command == f"innate attack {ids[0][:10]} {ids[1][:10]} --escalate --study tiny"
    assert found[-1].command == "innate attack --study tiny --audit --set depth=full --set samples=64"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("apgd", {"loss": "targeted", "steps": 20}),
        ("pgd", {"eps": ["8/255", "0.3"], "alpha": "eps/5", "random_start": False}),
        ("apgd", {"norm": "l2", "eps": [0.5]}),
        ("fmn", {"steps": 30}),
        ("square", {"seed": 3}),
    ],
)
def test_the_command_asks_for_the_same_attack(db, home, ids, name, options):
    asked = harder.attack(db, harder.target_of(db, "tiny", ids[:1]), name, options)
    words = shlex.split(asked.command)
    given = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    radii = words[words.index("--eps") + 1].split(",") if "--eps" in words else None
    assert words[:5] == ["innate", "attack", ids[0][:10], "--attack", name]
    assert words[-2:] == ["--study", "tiny"]
    by_command = attacking.add(db, home, "tiny", ids[:1], name, apply_overrides({}, given), radii)
    assert changes.execute(db, home, asked.change).attack_id == by_command.attack_id
    assert by_command.missing == 1


def test_other_radii_are_those_of_the_strongest_attack_of_the_study_with_its_options(db, ids):
    target = harder.target_of(db, "tiny", ids[:1])
    name, options = harder.more_radii(target, ["0.3"])
    assert (name, options) == ("pgd", {"eps": ["0.3"], "steps": 4})
    asked = harder.attack(db, target, name, options)
    assert "keep to the study's own ε" in asked.about
    assert "keep to" not in harder.attack(db, target, name, {"steps": 9}).about


def test_what_is_typed_is_options_or_a_mistake_in_a_line(db, ids):
    target = harder.target_of(db, "tiny", ids[:1])
    assert options_of(target, "bim", "steps=3 eps=0.1,8/255") == {"steps": 3, "eps": ["0.1", "8/255"]}
    assert options_of(target, "pgd", "") == {}
    for text, words in (
        ("steps", "write KEY=VALUE"),
        ("stepz=3", "mean 'steps'"),
        ("steps=0", "out of range"),
        ("eps=2", "out of range"),
        ("eps=", "write KEY=VALUE"),
        ("norm=l2 eps=99", "end at"),
        ("'", "quotation"),
    ):
        with pytest.raises(BadInput, match=words) as refused:
            options_of(target, "bim", text)
        assert "\n" not in str(refused.value)


def test_costs_are_measured_where_the_same_was_run_bounded_where_anything_was_and_unknown_else(db, ids, home, cache):
    target = harder.target_of(db, "tiny", ids[:2])
    models, pace = target.models, SECONDS / PASSES
    assert rates.seconds_per_pass(db, "digits", "mlp") == pytest.approx(pace)
    assert rates.seconds_per_pass(db, "digits", "lenet5") is None
    apgd = cost_of_attacks(db, models, [resolve("apgd", {"eps": [0.1, 0.2]}, "test")])
    assert apgd == Cost(2, pytest.approx(2 * 201 * pace * IMAGES * 2), at_most=True)
    pgd = cost_of_attacks(db, models, [resolve("pgd", {"eps": [0.05, 0.1, 0.2], "steps": 4}, "test")])
    assert pgd == Cost(2, pytest.approx(2 * SECONDS / 2 * 3), at_most=False), "as long as the same took at two ε"
    had = cost_of_attacks(db, models, [resolve("pgd", {"eps": [0.1, 0.2], "steps": 4}, "test")])
    assert had.trials == 0
    standing = [row.robust_accuracy for row in queries.audited(db, "tiny", target.threat) if row.trial_id in ids[:2]]
    climb = cost_of_climb(db, models, target.threat)
    rungs = 201 + 201 + 201 * 9 + 215 + 5000
    assert climb == Cost(2, pytest.approx(sum(standing) * rungs * pace * IMAGES), at_most=True)
    db.execute("UPDATE evaluation SET forward_passes = 0, backward_passes = 0, count = 0")
    assert cost_of_attacks(db, models, [resolve("apgd", {"eps": [0.1]}, "test")]).seconds is None
    assert way(db, target, "audit in full depth").cost.seconds is None


def test_levelling_costs_what_some_lack(db, ids, home):
    target = harder.target_of(db, "tiny", ids[:1])
    assert way(db, target, "level the study").cost.trials == 0
    changes.execute(db, home, harder.attack(db, target, "apgd", {"steps": 5}).change)
    stored.run_one(db, home, "tiny")
    wanted = way(db, target, "level the study")
    assert wanted.cost.trials == len(studies.trained_trials(db, "tiny")) - 1
    assert ": apgd." in wanted.about


def test_costs_in_words():
    assert cost_text(Cost(0, 0.0, at_most=False), 2) == "nothing is missing"
    assert cost_text(Cost(3, None, at_most=True), 2) == "time unknown"
    assert cost_text(Cost(3, 480.0, at_most=False), 2) == "about 4 min on 2 slots"
    assert cost_text(Cost(1, 30.0, at_most=True), 8) == "at most 30 s on 1 slot"
    assert cost_text(Cost(2, 0.5, at_most=False), 2) == "less than 1 s on 2 slots"


def test_many_ids_do_not_fill_the_screen():
    whole = "innate attack " + " ".join(f"{number:010}" for number in range(40)) + " --escalate --study tiny"
    assert shortened(whole) == "innate attack 0000000000 0000000001 … --escalate --study tiny"
    assert shortened("innate attack --study tiny --level") == "innate attack --study tiny --level"
