"""A study of one stored trial: the same trial as long as nothing is edited, whatever its study said and says now."""

import itertools
import json
import tomllib
from pathlib import Path

import pytest

from app.report.resubmission import names_after, of_one_cell, resubmission
from app.report.toml import toml_text
from core.errors import BadInput, NotFound
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.study.resolve import parse_study
from storage import database, queries, submitting
from tests.conftest import plan_of, tiny
from tests.storage import stored

DOCUMENTS = {
    "tiny": tiny(),
    "options": tiny(
        optimizers=["adam", {"name": "adam", "lr": 0.02, "beta1": 0.8}, {"name": "sgd", "momentum": 0.9}],
        defenses=["none", {"name": "pgd-at", "eps": 0.2, "steps": 2}],
        training={"epochs": 2, "weight_decay": 1e-4, "schedule": {"name": "step", "at": [1], "lr": [1e-3]}},
        vary=["seed", "train_subset"],
        seeds=[3, 7],
    ),
    "keras": tiny(
        optimizers=["adam", "rmsprop", {"name": "sgd", "lr": 0.1}],
        training={"epochs": 2, "hyperparameters": "keras", "initialisation": "glorot"},
        score={"eps": 0.2},
    ),
}


def as_stored(document):
    """As it comes out of the database."""
    return json.loads(json.dumps(dict(parse_study(document, "test", Path("/")).document)))


def spec_of(trial):
    return TrialSpec.from_json(json.loads(json.dumps(trial.as_json())))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_unedited_it_is_the_same_trial_and_its_file_says_so(name, cache):
    document = DOCUMENTS[name]
    for trial in plan_of(document, cache).trials:
        found = of_one_cell(as_stored(document), spec_of(trial), "again")
        planned = plan_of(tomllib.loads(toml_text(found)), cache)
        assert [one.id for one in planned.trials] == [trial.id]
        assert (planned.study.name, planned.study.attacks) == ("again", plan_of(document, cache).study.attacks)
        assert (found["test_samples"], found["audit"], found.get("score")) == (
            60,
            {"samples": 0},
            document.get("score"),
        )


def test_choices_are_written_as_the_study_writes_them_else_as_short_as_they_can_be(cache):
    document = as_stored(DOCUMENTS["options"])
    trials = plan_of(DOCUMENTS["options"], cache).trials
    adams = [one for one in trials if one.optimizer.name == "adam" and one.defense.name == "pgd-at"]
    written = [of_one_cell(document, spec_of(one), "again") for one in adams[:4:2]]
    assert [one["optimizers"] for one in written] == [["adam"], [{"name": "adam", "lr": 0.02, "beta1": 0.8}]]
    assert written[0]["defenses"] == [{"name": "pgd-at", "eps": 0.2, "steps": 2}]
    changed = {**document, "optimizers": ["rmsprop"], "defenses": ["none"]}
    short = of_one_cell(changed, spec_of(adams[2]), "again")
    assert short["optimizers"] == [{"name": "adam", "lr": 0.02, "beta1": 0.8}]
    assert set(short["defenses"][0]) == {"name", "eps", "steps"}


def test_a_study_that_was_changed_since_trains_the_run_as_it_was(cache):
    document = DOCUMENTS["options"]
    (trial, *_) = plan_of(document, cache).trials
    later = as_stored({**document, "training": {"epochs": 9, "augment": False}, "train_samples": 200, "vary": ["seed"]})
    found = of_one_cell(later, spec_of(trial), "again")
    assert [one.id for one in plan_of(found, cache).trials] == [trial.id]


def test_a_learning_rate_that_was_tuned_is_written_down_and_not_tuned_again(cache):
    document = tiny(
        optimizers=["adam"], seeds=1, training={"epochs": 1, "hyperparameters": "tuned"}, tuning={"trials": 2}
    )
    (cell, *_) = plan_of(document, cache).cells
    ((_, trial),) = cell.comparing(0.004)
    found = of_one_cell(as_stored(document), spec_of(trial), "again")
    assert found["optimizers"] == [{"name": "adam", "lr": 0.004}]
    assert "tuning" not in found
    assert [one.id for one in plan_of(found, cache).trials] == [trial.id]
    candidate = of_one_cell(as_stored(document), spec_of(cell.trying(0.001)), "again")
    assert [one.optimizer.options["lr"] for one in plan_of({**candidate, "seeds": [0]}, cache).trials] == [0.001]


def test_names_are_free_and_never_too_long():
    assert list(itertools.islice(names_after("quick"), 3)) == ["quick-edited", "quick-edited-2", "quick-edited-3"]
    assert {len(name) for name in itertools.islice(names_after("x" * 100), 12)} == {100}


def test_a_stored_trial_is_found_under_a_name_of_its_own_and_an_imported_one_refused(home, cache):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(), cache))
    row = queries.trials(db, "tiny")[3]
    found = resubmission(db, "tiny", row.trial_id)
    assert (found["name"], found["seeds"]) == ("tiny-edited", [row.seed])
    submitting.submit(db, plan_of(found, cache))
    assert resubmission(db, "tiny", row.trial_id)["name"] == "tiny-edited-2"
    assert [one.trial_id for one in queries.trials(db, "tiny-edited")] == [row.trial_id]
    imported = stored.bring(db, home)
    with pytest.raises(BadInput, match="trained elsewhere"):
        resubmission(db, imported.study, imported.trial_id)
    with pytest.raises(NotFound):
        resubmission(db, "tini", row.trial_id)


def test_a_choice_that_is_no_more_is_named(cache):
    (trial, *_) = plan_of(tiny(), cache).trials
    gone = TrialSpec(**{**vars(spec_of(trial)), "activation": Choice("gone")})
    with pytest.raises(BadInput, match="activations: unknown activation 'gone'"):
        of_one_cell(as_stored(tiny()), gone, "again")
