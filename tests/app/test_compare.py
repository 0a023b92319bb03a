"""`innate compare`: sides by name, the page, the rows for programs, and what is refused; names that are cut stay different."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.aggregate import images_of, influences
from app.report.comparison import as_rows, compared
from app.report.sides import find_sides
from app.report.study_models import study_models
from app.report.text import distinct, ranges, table
from core.errors import BadInput, NotFound
from core.verdict.findings.contrast import Group, at_level, contrast
from core.verdict.statistics import t_interval
from storage import queries, submitting
from storage.database import connect
from tests.conftest import copy_home, innate_command, plan_of, tiny


@pytest.fixture
def db(filled):
    db = connect(filled / "innate.db", read_only=True)
    yield db
    db.conn.close()


@pytest.fixture
def own(filled, tmp_path):
    """A copy of the filled home, to be changed."""
    copy_home(filled, tmp_path / "home")
    db = connect(tmp_path / "home" / "innate.db")
    yield db
    db.conn.close()


def trial_of(db, optimizer, activation, seed):
    (found,) = (
        row.trial_id
        for row in queries.trials(db, "tiny")
        if (row.optimizer, row.activation, row.seed) == (optimizer, activation, seed)
    )
    return found


# --- sides ---


def test_a_side_is_a_trial_a_variant_or_a_level(db):
    trial, other = trial_of(db, "adam", "relu", 0), trial_of(db, "sgd", "relu", 1)
    sides = find_sides(db, None, trial[:10], other)
    assert (sides.study, sides.first.kind, sides.first.label, sides.second.label) == (
        "tiny", "trial", "adam relu s0", "sgd relu s1",
    )  # fmt: skip
    variants = find_sides(db, "tiny", "adam  relu", "sgd tanh")
    assert variants.first.kind == "variant"
    assert variants.first.trials == {trial_of(db, "adam", "relu", seed) for seed in (0, 1)}
    assert find_sides(db, None, variants.first.id[:12], variants.second.id.upper()) == variants
    levels = find_sides(db, None, "optimizer=adam", "optimizer=sgd")
    assert (levels.first.kind, levels.first.factor, len(levels.first.trials)) == ("level", "optimizer", 4)


@pytest.mark.parametrize(
    ("first", "second", "error", "words"),
    [
        ("adam relu", "adam relu", BadInput, "the same variant"),
        ("optimizer=adam", "optimizer=adam", BadInput, "the same level"),
        ("adam rely", "sgd relu", NotFound, "did you mean 'adam relu'"),
        ("optimizer=adm", "optimizer=sgd", NotFound, "did you mean 'adam'"),
        ("optimiser=adam", "optimizer=sgd", BadInput, "did you mean 'optimizer'"),
        ("seed=0", "seed=1", BadInput, "not one of architecture, optimizer, activation, defense"),
        ("optimizer=adam", "activation=relu", BadInput, "such as optimizer=adam and optimizer=sgd"),
        ("optimizer=adam", "adam relu", BadInput, "a level and adam relu a variant"),
        ("ffffffffffff", "eeeeeeeeeeee", NotFound, "no trial 'ffffffffffff'"),
        ("", "adam relu", NotFound, "no trial or variant ''"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(first, second, error, words, db):
    with pytest.raises(error, match=words) as caught:
        find_sides(db, None, first, second)
    assert "\n" not in str(caught.value)


def test_a_trial_beside_a_variant_is_told_its_own_variant(db):
    trial = trial_of(db, "sgd", "tanh", 1)
    variant = find_sides(db, None, "sgd tanh", "adam relu").first.id
    with pytest.raises(BadInput, match=f"the variant of that trial is {variant[:10]}"):
        find_sides(db, None, "adam relu", trial)


def test_several_ids_that_begin_alike_are_named(db):
    ids = sorted({row.trial_id for row in queries.trials(db)} | {row.variant_id for row in queries.trials(db)})
    start = next(one[0] for one, other in pairwise(ids) if one[0] == other[0])
    with pytest.raises(BadInput, match="begins several ids of study tiny"):
        find_sides(db, None, start, "adam relu")


def test_a_trial_without_a_result_or_of_another_study_is_refused(own, tmp_path):
    plan = plan_of(tiny(name="other", test_samples=50, optimizers=["adamax"]), tmp_path / "cache")
    submitting.submit(own, plan)
    waiting, done = plan.trials[0].id, trial_of(own, "adam", "relu", 0)
    with pytest.raises(BadInput, match="in no study together"):
        find_sides(own, None, waiting, done)
    with pytest.raises(BadInput, match=r"no result in study other yet \(queued\)"):
        find_sides(own, None, waiting, plan.trials[1].id)
    with pytest.raises(NotFound, match="study tiny has no trial or variant"):
        find_sides(own, "tiny", waiting, done)
    assert find_sides(own, None, "adam relu", "sgd relu").study == "tiny"  # the study run last has neither


def test_a_trial_that_a_later_study_still_waits_for_is_taken_from_where_it_is_scored(own, tmp_path):
    submitting.submit(own, plan_of(tiny(name="again", test_samples=50), tmp_path / "cache"))
    trial, other = trial_of(own, "adam", "relu", 0), trial_of(own, "sgd", "relu", 0)
    assert find_sides(own, None, trial, other).study == "tiny"


# --- results ---


def test_levels_have_the_paired_difference_of_their_contrast(db):
    found = compared(db, None, "optimizer=adam", "optimizer=sgd", "innate")
    rows = {row["attack"] or row["measure"]: row for row in as_rows(found)}
    assert list(rows) == ["clean_accuracy", "worst_case", "fgsm", "pgd", "innate"]
    models = study_models(db, "tiny", queries.scores(db, "tiny", "innate"))
    groups = [Group(sign, at_level(models, "optimizer", level)) for sign, level in ((1.0, "adam"), (-1.0, "sgd"))]
    for name, scale, value in (
        ("worst_case", 1.0, lambda model: model.outcomes.worst),
        ("innate", 100.0, images_of(influences(models, "innate"))),
    ):
        spread = contrast(groups, ("optimizer",), value).spread
        low, high = t_interval(spread)
        row = rows[name]
        assert row["difference"] == pytest.approx(scale * spread.mean)
        assert (row["low"], row["high"]) == pytest.approx((scale * low, scale * high))
        assert row["a"] - row["b"] == pytest.approx(row["difference"])
        assert (row["pairs"], row["p"], row["over_images"]) == (4, None, False)
    assert rows["worst_case"]["upper_bound_a"]  # nobody audited it
    assert not rows["pgd"]["upper_bound_a"]


def test_two_trials_have_mcnemars_test_and_say_that_they_are_two(db, filled):
    first, second = trial_of(db, "adam", "relu", 0), trial_of(db, "sgd", "tanh", 1)
    found = compared(db, None, first, second, "innate")
    rows = as_rows(found)
    one, other = (side.models[0].outcomes.clean for side in (found.first, found.second))
    assert rows[0]["only_a"] == int(np.sum(one & ~other))
    assert 0.0 <= rows[0]["p"] <= 1.0
    assert rows[0]["over_images"]
    assert rows[-1]["measure"] == "innate"
    assert rows[-1]["p"] is None
    out = innate_command("compare", first[:12], second[:12], home=filled).stdout
    assert "says nothing of other seeds" in " ".join(out.split())
    for word in ("only A", "only B", "optimizer.lr", "activation", "seed", "A − B", "not audited"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_page_of_variants_says_what_differs_what_is_alike_and_what_it_is_paired_by(filled):
    out = innate_command("compare", "adam relu", "adam tanh", "--score", "retention", home=filled).stdout
    text = " ".join(out.split())
    assert "tiny: two variants, A less B" in text
    assert "activation relu tanh" in text
    assert "optimizer adam" in text
    assert "no defense" in text
    assert "Paired by seed (0,1)" in text
    assert "won: pairs in which A is the better" in text
    assert "retention" in text
    assert "optimizer.lr" not in text
    assert max(map(len, out.splitlines())) <= 80


def test_programs_get_one_document(filled):
    out = innate_command("compare", "optimizer=adam", "optimizer=sgd", "--json", home=filled).stdout
    document = json.loads(out)
    assert list(document) == ["schema_version", "compare"]
    assert {"measure", "attack", "norm", "eps", "a", "b", "difference", "low", "high", "pairs", "won", "p"} <= set(
        document["compare"][0]
    )
    assert all(0.0 <= row["a"] <= 1.0 for row in document["compare"] if row["measure"] != "innate")


def test_sides_without_a_common_seed_say_what_would_change_it(own, tmp_path):
    for optimizer, seed in (("adam", 0), ("sgd", 1)):
        trial = trial_of(own, optimizer, "relu", seed)
        own.execute("UPDATE study_trial SET state = 'failed', reason = 'x' WHERE trial_id = ?", (trial,))
    own.conn.commit()
    text = " ".join(innate_command("compare", "adam relu", "sgd relu", home=tmp_path / "home").stdout.split())
    assert "No pairs, so no difference: they have no seed in common" in text
    assert "innate retry --study tiny" in text


def test_a_model_without_a_counterpart_is_left_out_and_one_seed_said(own, tmp_path):
    trial = trial_of(own, "adam", "relu", 0)
    own.execute("UPDATE study_trial SET state = 'cancelled' WHERE trial_id = ?", (trial,))
    own.conn.commit()
    text = " ".join(innate_command("compare", "adam relu", "sgd relu", home=tmp_path / "home").stdout.split())
    assert "1 pair lacks a side and is left out" in text
    assert "One seed: the intervals are over images only" in text


# --- names that are cut ---

WORDS = st.lists(
    st.sampled_from(["adam", "lr=0.001", "lr=0.0005", "pgd-at", "steps=7", "steps=10", "tanh"]), min_size=1
)
NAMES = st.lists(WORDS.map(" ".join), min_size=1, max_size=12)


@given(NAMES, st.integers(8, 40))
def test_names_stay_different_however_narrow(names, width):
    shown = distinct(names, width)
    assert all(0 < len(name) <= width for name in shown)
    assert len(dict(zip(names, shown, strict=True))) == len(set(shown)) == len(set(names))
    assert all(shown[names.index(name)] == cut for name, cut in zip(names, shown, strict=True))


def test_names_are_cut_where_it_tells_most():
    assert distinct(["adam relu", "sgd relu"], 20) == ["adam relu", "sgd relu"]
    assert distinct(["with momentum adam", "with momentum sgd"], 12) == ["adam", "sgd"]
    assert distinct(["adam lr=0.001", "sgd momentum=0.9"], 10) == ["adam lr=0…", "sgd momen…"]
    assert distinct(["pgd-at steps=10 adam", "pgd-at steps=10 sgd x"], 12) == ["adam", "sgd x"]
    # Of "steps=2" the end "eps=2" would be another option.
    assert distinct(["pgd-at steps=2", "pgd-at steps=3", "none"], 12) == ["pgd-at…=2", "pgd-at…=3", "none"]


def test_no_two_rows_of_a_table_look_alike():
    names = [f"adam lr={lr} tanh" for lr in ("0.00125", "0.00126", "0.00127")]
    text = table(["variant", "score"], [[name, "70.0"] for name in names], 18, fill=0, apart=True)
    rows = text.splitlines()[2:]
    assert len(set(rows)) == 3
    assert max(map(len, rows)) <= 18


def test_places_are_told_in_runs():
    assert ranges([]) == ""
    assert ranges([1, 2, 4, 5, 6, 9]) == "1,2,4–6,9"


def test_two_are_compared_at_another_ε_and_under_a_filter(db, filled):
    def rows(*more):
        arguments = ("compare", "optimizer=adam", "optimizer=sgd", "--json", *more)
        return {row["measure"]: row for row in json.loads(innate_command(*arguments, home=filled).stdout)["compare"]}

    own, at, some = rows(), rows("--eps", "0.2"), rows("--filter", "seed=0")
    assert (own["worst_case"]["eps"], at["worst_case"]["eps"]) == (0.1, 0.2)
    assert at["worst_case"]["a"] < own["worst_case"]["a"]
    assert at["clean_accuracy"] == own["clean_accuracy"]
    assert (own["worst_case"]["pairs"], some["worst_case"]["pairs"]) == (4, 2)
    refused = innate_command("compare", "optimizer=adam", "optimizer=sgd", "--eps", "0.3", home=filled, check=2)
    assert "attacks linf at 0.1, 0.2" in refused.stderr


def test_images_of_several_trials_are_of_one_sample(db, filled):
    rows = db.execute(
        "SELECT x.sample, group_concat(DISTINCT e.trial_id) FROM example x JOIN evaluation e ON e.id = x.evaluation_id "
        "GROUP BY x.sample HAVING count(DISTINCT e.trial_id) > 1 ORDER BY x.sample"
    ).fetchall()
    sample, trials = rows[0][0], rows[0][1].split(",")[:2]
    text = innate_command("examples", *trials, "--sample", str(sample), home=filled).stdout
    assert [line[:10] for line in text.splitlines()[:2]] == [trial[:10] for trial in trials]
    assert all(f": sample {sample}: " in line for line in text.splitlines()[:2])
    assert text.count("difference × ") == 2
    absent = innate_command("examples", trials[0], "--sample", "99999", home=filled, check=3)
    assert "has no adversarial image of sample 99999; of " in absent.stderr
