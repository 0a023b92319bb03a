"""What is worked out aside for the Lab, against what the command line says of the same trials."""

import asyncio

import pytest

from app.report.aggregate import by_factors, over_seeds
from app.tui.lab.estimates import Estimator, Ledgers, Wanted, table
from app.tui.lab.rows import part_of
from storage import database, queries
from storage.grouping import Reading, groups
from storage.home import Home
from storage.listing import EVERYTHING, parse_filter
from tests import many


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("estimates") / "home")
    many.fill(
        home, done=23, failed=1, seeds=3, optimizers=["adam", {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.3}]
    )
    many.agree(home)
    db = database.connect(home.database)
    yield db
    db.conn.close()


def worked_out(db, estimator=None, stop=lambda: False, **changes):
    """The last that was told, and how often something was asked."""
    asked, told = [], []

    async def ask(question):
        asked.append(question)
        return question(db)

    estimator = estimator or Estimator(ask)
    estimator._ask = ask
    given = {
        "study": "big",
        "score": "worst_case",
        "eps": None,
        "chosen": EVERYTHING,
        "by": ("optimizer",),
        "opened": ((),),
    }
    asyncio.run(estimator.work_out(Wanted(**{**given, **changes}), told.append, stop))
    return (told[-1] if told else {}), len(asked)


def paths(db, *by):
    found = groups(db, "big", EVERYTHING, by, Reading("worst_case")).first
    return [tuple(map(part_of, group.choices)) for group in found]


@pytest.mark.parametrize("eps", [None, 0.2])
@pytest.mark.parametrize("score", ["worst_case", "innate"])
def test_levels_and_their_differences_are_those_of_the_results(db, score, eps):
    eps = eps if score == "worst_case" else None
    levels, _ = worked_out(db, score=score, eps=eps)
    table = by_factors(db, "big", score, queries.scores(db, "big", score), ["optimizer"], eps)
    found = sorted(levels.values(), key=lambda level: -level.score)
    assert [(one.score, one.low, one.high, one.n, one.difference) for one in found] == [
        (one.score, one.low, one.high, one.n, one.difference) for one in table
    ]
    assert set(levels) == set(paths(db, "optimizer"))


def test_variants_have_their_seeds_intervals_and_are_paired_by_seed(db):
    top = paths(db, "optimizer")[0]
    levels, _ = worked_out(db, opened=((), top))
    scores = queries.scores(db, "big", "worst_case")
    alone = over_seeds(db, "big", "worst_case", scores)
    inside = {path: level for path, level in levels.items() if len(path) == 2}
    assert len(inside) == 2
    for path, level in inside.items():
        one = alone[path[1][0]]
        assert (level.score, level.low, level.high) == pytest.approx((one.value, one.low, one.high), abs=1e-6)
    best, other = sorted(inside, key=lambda path: -inside[path].score)
    assert inside[best].difference is None
    values = {(row.variant_id, row.seed): row.value for row in scores}
    pairs = [
        values[other[1][0], seed] - values[best[1][0], seed]
        for seed in range(3)
        if (other[1][0], seed) in values and (best[1][0], seed) in values
    ]
    assert inside[other].difference.pairs == len(pairs)
    assert inside[other].difference.value == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_others_are_held_against_the_baseline(db):
    last = paths(db, "optimizer")[-1]
    levels, _ = worked_out(db, baseline=last)
    usual, _ = worked_out(db)
    assert levels[last].difference is None
    best = next(path for path, level in usual.items() if level.difference is None)
    assert levels[best].difference.value == pytest.approx(-usual[last].difference.value)


def test_a_filter_leaves_out_models_and_seeds_have_an_interval_but_no_rival(db):
    levels, _ = worked_out(db, chosen=parse_filter("activation=relu"), by=("optimizer", "seed"))
    assert len(levels) in (8, 9), "three choices, three seeds; one trial has failed"
    assert all(level.difference is None for level in levels.values())
    assert all(level.high is not None for level in levels.values())


def test_what_is_known_is_not_read_again_and_what_is_no_longer_wanted_is_given_up(db):
    estimator = Estimator(None)
    first, asked = worked_out(db, estimator)
    again, fewer = worked_out(db, estimator)
    assert again == first
    assert fewer == 1 < asked, "only which trials are scored"
    _, regrouped = worked_out(db, estimator, opened=((), paths(db, "optimizer")[0]))
    assert regrouped == 2, "the models are still here"
    told, _ = worked_out(db, Estimator(None), stop=lambda: True)
    assert told == {}


def test_a_table_of_no_models_is_empty():
    assert table(Ledgers((), {}, {}), Wanted("big", "innate", None, EVERYTHING, ("optimizer",), ((),)), ()) == {}
