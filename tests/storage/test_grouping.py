"""Groups of trials as SQLite counts and averages them, against the same worked out one by one."""

import itertools
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.names import FACTORS
from storage import database, grouping, listing, queries
from storage.grouping import BY, Reading, levels, placed, weaknesses, within
from storage.home import Home
from storage.listing import EVERYTHING, parse_filter
from storage.studies import study_row
from tests.many import fill


@pytest.fixture(scope="module")
def db(filled):
    db = database.connect(filled / "innate.db", read_only=True)
    yield db
    db.conn.close()


def groups(*asked):
    return list(grouping.groups(*asked).first)


def by_hand(rows, key, value):
    """Group → (mean over variants of means over trials, trials), of rows with a value."""
    found = {}
    for row in rows:
        found.setdefault(key(row), {}).setdefault(row.variant_id, []).append(value(row))
    return {
        group: (
            sum(sum(values) / len(values) for values in variants.values()) / len(variants),
            sum(map(len, variants.values())),
        )
        for group, variants in found.items()
    }


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("score", ["innate", "worst_case", "clean_accuracy"])
def test_a_level_is_the_mean_over_its_variants(db, factor, score):
    found = groups(db, "tiny", EVERYTHING, (factor,), Reading(score))
    rows = queries.scores(db, "tiny", score)
    wanted = by_hand(rows, lambda row: getattr(row, factor), lambda row: row.value)
    assert {one.choices[0].name: (pytest.approx(one.value), one.trials) for one in found} == wanted
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    assert sum(one.done for one in found) == len(rows)


def test_groups_of_several_factors_of_variants_and_of_seeds(db):
    pairs = groups(db, "tiny", EVERYTHING, ("optimizer", "activation"), Reading("innate"))
    assert {tuple(choice.name for choice in one.choices) for one in pairs} == set(
        itertools.product(("adam", "sgd"), ("relu", "tanh"))
    )
    assert all(one.choices[0].options["lr"] > 0 for one in pairs)
    variants = groups(db, "tiny", EVERYTHING, ("variant",), Reading("innate"))
    assert len(variants) == 4
    assert all((one.variants, one.trials) == (1, 2) for one in variants)
    seeds = groups(db, "tiny", EVERYTHING, ("seed",), Reading("innate"))
    assert sorted(one.choices[0].name for one in seeds) == ["0", "1"]
    (whole,) = groups(db, "tiny", EVERYTHING, (), Reading("innate"))
    assert (whole.variants, whole.trials, whole.valued) == (4, 8, 8)
    assert groups(db, "nothing of that name", EVERYTHING, (), Reading("innate")) == []


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from(BY), unique=True, max_size=3),
    st.sampled_from(["", "adam", "seed=1", "activation=relu", "innate>30"]),
    st.sampled_from(["innate", "clean_accuracy"]), st.integers(0, 4),
)  # fmt: skip
def test_groups_are_those_of_the_list(db, by, text, score, most):
    """Against the same trials listed one by one and put together here."""
    chosen = parse_filter(text)
    names = {"variant": "variant_id"}
    trials, wanted = listing.page(db, chosen.narrowed("study", "tiny")), {}
    for row in trials:
        key = tuple(str(getattr(row, names.get(name, name))) for name in by)
        wanted.setdefault(key, {}).setdefault(row.variant_id, []).append(getattr(row, score))
    means = {key: fmean(fmean(values) for values in inside.values()) for key, inside in wanted.items()}
    found = grouping.groups(db, "tiny", chosen, by, Reading(score), most)
    every = groups(db, "tiny", chosen, by, Reading(score))
    assert list(found.first) == every[:most]
    assert {tuple(choice.name for choice in one.choices): pytest.approx(one.value) for one in every} == means
    assert found.count == len(means)
    assert found.variants == sum(map(len, wanted.values())) == sum(one.variants for one in every)
    assert found.valued == len(trials)
    assert found.complete == sum(one.complete for one in every)
    for one in every:
        inside = placed(db, "tiny", within(chosen, by, one.choices), by)
        assert len(inside) == one.trials
        assert all(choices == one.choices for choices in inside.values())


def test_a_score_of_one_radius_is_read_at_another(db):
    study = study_row(db, "tiny")
    at = {row.trial_id: {} for row in queries.scores(db, "tiny", "innate")}
    for row in queries.worst_cases(db, "tiny", study.threat_norm):
        at[row.trial_id][row.eps] = row.accuracy
    rows = queries.scores(db, "tiny", "clean_accuracy")
    for eps in (0.1, 0.2):
        found = groups(db, "tiny", EVERYTHING, ("optimizer",), Reading("worst_case", study.threat_norm, eps))
        wanted = by_hand(rows, lambda row: row.optimizer, lambda row, eps=eps: at[row.trial_id][eps])
        assert {one.choices[0].name: (pytest.approx(one.value), one.trials) for one in found} == wanted
        kept = groups(db, "tiny", EVERYTHING, ("optimizer",), Reading("retention", study.threat_norm, eps))
        wanted = by_hand(rows, lambda row: row.optimizer, lambda row, eps=eps: at[row.trial_id][eps] / row.value)
        assert {one.choices[0].name: (pytest.approx(one.value), one.trials) for one in kept} == wanted
    own = groups(db, "tiny", EVERYTHING, ("optimizer",), Reading("worst_case"))
    assert own == groups(
        db, "tiny", EVERYTHING, ("optimizer",), Reading("worst_case", study.threat_norm, study.threat_eps)
    )
    with pytest.raises(ValueError, match="no single"):
        groups(db, "tiny", EVERYTHING, (), Reading("innate", "linf", 0.1))


def test_a_filter_counts_only_what_passes_it(db):
    chosen = parse_filter("optimizer=adam seed=0")
    found = groups(db, "tiny", chosen, ("activation",), Reading("innate"))
    assert sum(one.trials for one in found) == listing.count(db, chosen) == 2


def test_states_and_verdicts_are_counted(tmp_path):
    home = Home(tmp_path / "big")
    fill(home, done=300, failed=20)
    db = database.connect(home.database)
    for by in BY[:4]:
        found = groups(db, "big", EVERYTHING, (by,), Reading("innate"))
        assert sum(one.trials for one in found) == 10_000
        assert sum(one.done for one in found) == sum(one.valued for one in found) == 300
        assert sum(one.failed for one in found) == 20
        assert sum(one.queued for one in found) == 9_680
        for trust in ("suspect", "invalid"):
            (wanted,) = db.execute("SELECT count(*) FROM study_trial WHERE trust = ?", [trust]).fetchone()
            assert sum(getattr(one, trust) for one in found) == wanted
    db.conn.close()


def test_a_group_is_narrowed_to_its_trials_by_its_options_too(tmp_path):
    home = Home(tmp_path / "home")
    optimizers = ["adam", {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.3}]
    fill(home, done=30, failed=2, seeds=6, optimizers=optimizers)
    db = database.connect(home.database)
    assert [choice.name for choice in levels(db, "big")["optimizer"]] == ["adam", "sgd", "sgd"]
    assert [choice.options["lr"] for choice in levels(db, "big")["optimizer"]][1:] == [0.1, 0.3]
    by = ("optimizer", "seed")
    found = groups(db, "big", EVERYTHING, by, Reading("innate"))
    assert len(found) == 18
    for one in found:
        trials = placed(db, "big", within(EVERYTHING, by, one.choices), ("activation",))
        assert len(trials) == one.trials == 2
        assert {choice.name for (choice,) in trials.values()} == {"relu", "tanh"}
    assert len(placed(db, "big", EVERYTHING, most=5)) == 5
    few = list(placed(db, "big", EVERYTHING))[:3]
    assert sum(one.trials for one in groups(db, "big", EVERYTHING.among(few), ("trial",), Reading("innate"))) == 3
    variants = groups(db, "big", EVERYTHING, ("optimizer", "variant"), Reading("innate"))
    for level in groups(db, "big", EVERYTHING, ("optimizer",), Reading("innate")):
        inside = [one for one in variants if one.choices[0] == level.choices[0]]
        assert level.suspect_variants == sum(one.suspect > 0 for one in inside)
        assert level.invalid_variants == sum(one.invalid > 0 for one in inside)
        assert level.complete == sum(one.done == one.trials for one in inside)
        weak = weaknesses(db, "big", within(EVERYTHING, ("optimizer",), level.choices))
        assert sum(one.trials for one in weak) == level.suspect + level.invalid
        assert [one.trust for one in weak] == sorted((one.trust for one in weak), key=["invalid", "suspect"].index)
    db.conn.close()
