"""The Lab by its keys, on runs whose outcomes are made up: groups, what they open into, knobs, marks, and what it says."""

import asyncio
import csv
import functools
import json

import pytest

from app.report.aggregate import by_factors
from app.tui.lab.asked import Asked
from app.tui.lab.screen import LabScreen
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Picker
from storage import database, queries
from storage.grouping import Reading
from storage.home import Home
from tests import many
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import copy_home

CHOICES = {
    "seeds": 3,
    "optimizers": ["adam", {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.3}, "rmsprop"],
    "activations": ["relu", "tanh"],
    "defenses": ["none", {"name": "fgsm-at", "eps": 0.1}],
}
"""48 trials: 16 variants with three seeds each."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("lab") / "home")
    many.fill(home, done=44, failed=2, **CHOICES)
    many.agree(home)
    return home


@pytest.fixture
def lab(made, tmp_path):
    """A copy to change at will."""
    copy_home(made.root, tmp_path / "lab")
    return Home(tmp_path / "lab")


def story(test):
    @functools.wraps(test)
    def run(*arguments, **options):
        asyncio.run(test(*arguments, **options))

    return run


def row(app, label):
    """The line of the screen on which a row stands."""
    return next(line for line in shown(app).splitlines()[2:] if line[2:].lstrip(" ▸▾").startswith(label))


def labels(app):
    return [one.label for one in app.screen.grouped.rows]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_the_first_screen_answers_which_is_best_and_how_sure(lab, size):
    db = database.connect(lab.database)
    table = by_factors(db, "big", "worst_case", queries.scores(db, "big", "worst_case"), ["optimizer"])
    async with opened(lab, size) as (app, _):
        text = shown(app)
        for knob in ("big", "by optimizer", "ε ‹0.1›", "worst case"):
            assert knob in text.splitlines()[2]
        assert labels(app) == [level.names[0] for level in table], "best first"
        for level in table:
            line = row(app, level.names[0])
            assert f"{100 * level.score:.1f}" in line
            if size == LARGE:
                assert f"≤{100 * level.high:.1f}" in line
                assert "●" in line
        apart = table[1].difference
        assert f"±{100 * (apart.high - apart.low) / 2:.1f}" in row(app, table[1].names[0])
        assert "2 failed" in text
        assert "2 queued" in text
        assert f"ANSWER {table[0].names[0]}" in text


@story
async def test_rows_open_down_to_a_run_and_close_again(lab):
    async with opened(lab, press=["right", "down"]) as (app, pilot):
        inside = app.screen.grouped.rows[1:5]
        assert {one.label for one in inside} == {"relu none", "tanh none", "relu fgsm-at", "tanh fgsm-at"}
        await press_and_wait(pilot, "enter", "down")
        assert app.screen.grouped.current.label.startswith("seed ")
        await press_and_wait(pilot, "left", "left")
        assert labels(app)[2] == inside[1].label, "to its variant, which closes"
        await press_and_wait(pilot, "left", "left")
        assert len(labels(app)) == 4
        await press_and_wait(pilot, "right", "right", "right", "right", "enter")
        assert isinstance(app.screen, DetailScreen)
        await press_and_wait(pilot, "escape")
        assert app.screen.grouped.current.kind == "trial"
    async with opened(lab) as (app, _):
        assert len(labels(app)) == 4 + 4 + 3, "what is open is remembered"


@story
async def test_another_radius_and_another_score_are_read_and_told(lab):
    async with opened(lab, press=["right_square_bracket"]) as (app, pilot):
        assert "ε ‹0.2›" in shown(app)
        db = database.connect(lab.database)
        table = by_factors(db, "big", "worst_case", queries.scores(db, "big", "worst_case"), ["optimizer"], 0.2)
        assert labels(app) == [level.names[0] for level in table]
        assert f"{100 * table[0].score:.1f}" in row(app, table[0].names[0])
        assert "at ε 0.2" in shown(app)
        await press_and_wait(pilot, "right_square_bracket")
        assert "ε 0.2 is the largest that big attacked" in shown(app)
        assert app.screen.asked().reading == Reading("worst_case", "linf", 0.2)
        await press_and_wait(pilot, "c", *"innate", "enter")
        assert "over ε 0…0.2" in shown(app)
        await press_and_wait(pilot, "left_square_bracket")
        assert "innate is of no single ε" in shown(app)


@pytest.mark.parametrize("size", SIZES)
@story
async def test_by_several_factors_by_variant_and_every_run(lab, size):
    async with opened(lab, size, press=["g", *"defense", "tab", "enter"]) as (app, pilot):
        assert "by optimizer, defense" in shown(app)
        assert len(labels(app)) == 8
        assert "adam fgsm-at" in labels(app)
        await press_and_wait(pilot, "g", *"variant", "tab", "enter")
        assert "by variant" in shown(app)
        assert len(set(labels(app))) == 16, "no two look alike"
        await press_and_wait(pilot, "g", *"none", "tab", "enter")
        assert "48 runs" in shown(app)
        assert app.focused is app.screen.run_list.grid
        await press_and_wait(pilot, "g", *"seed", "tab", "enter")
        assert sorted(labels(app)) == ["seed 0", "seed 1", "seed 2"]
        assert "nothing can be paired" in shown(app)


@story
async def test_a_mark_on_a_row_marks_its_runs(lab):
    async with opened(lab, press=["space", "up", "right"]) as (app, pilot):
        assert len(app.session.remembered.marks) == 12
        assert "12 marked" in shown(app)
        assert [line[0] for line in shown(app).splitlines()[4:9]] == ["●"] * 5
        await press_and_wait(pilot, "down", "space")
        assert len(app.session.remembered.marks) == 9
        assert [line[0] for line in shown(app).splitlines()[4:7]] == ["○", " ", "●"]
        asked = app.screen.asked()
        assert isinstance(asked, Asked)
        assert (asked.study, asked.by, len(asked.marks)) == ("big", ("optimizer",), 9)
        await press_and_wait(pilot, "u")
        assert "marked" not in shown(app).splitlines()[2]


@story
async def test_others_are_held_against_the_row_that_is_pinned(lab):
    async with opened(lab, press=["down", "b"]) as (app, pilot):
        second = labels(app)[1]
        assert "baseline" in row(app, second)
        assert "vs ◆" in shown(app)
        assert f"ANSWER against {second}" in shown(app)
        assert len(app.screen.asked().baseline) == 12
        await press_and_wait(pilot, "b")
        assert "vs best" in shown(app)
        assert app.screen.asked().baseline == ()


@story
async def test_a_filter_narrows_the_groups_and_says_so(lab):
    async with opened(lab, press=["slash", *"activation=relu", "enter"]) as (app, pilot):
        assert "filter: activation=relu" in shown(app)
        assert [one.n for one in app.screen.grouped.rows] == [2] * 4
        await press_and_wait(pilot, "slash", *" seed=9", "enter")
        assert "No run passes the filter" in shown(app)


@story
async def test_the_groups_are_written_with_score_and_radius(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with opened(lab, press=["right_square_bracket", "x", "enter"]) as (app, pilot):
        await calm(pilot)
        assert "wrote 4 rows" in shown(app)
        assert "--by optimizer --score worst_case --eps 0.2" in shown(app)
    rows = list(csv.DictReader((tmp_path / "lab-big-by-optimizer-eps0.2.csv").read_text().splitlines()))
    assert {(one["score"], one["eps"]) for one in rows} == {("worst_case", "0.2")}
    assert len(rows) == 4


@story
async def test_of_more_models_than_are_looked_through_the_means_stand_and_it_says_so(lab, monkeypatch):
    monkeypatch.setattr("app.tui.lab.grouped.MOST_MODELS", 10)
    async with opened(lab) as (app, _):
        text = shown(app)
        assert "no intervals of 44 models, which are more than 10: / narrows" in " ".join(text.split())
        assert "±" not in text


@story
async def test_what_is_weak_follows_the_cursor(lab):
    db = database.connect(lab.database)
    reasons = json.dumps(["square beats pgd"])
    (trial,) = db.execute("SELECT id FROM trial WHERE optimizer = 'adam' LIMIT 1").fetchone()
    db.execute("UPDATE study_trial SET trust = 'ok'")
    db.execute("UPDATE study_trial SET trust = 'suspect', trust_reasons = ? WHERE trial_id = ?", [reasons, trial])
    async with opened(lab) as (app, pilot):
        await press_and_wait(pilot, *["down"] * labels(app).index("adam"))
        await pilot.pause(0.2)
        await calm(pilot)
        assert "WEAK   1 adam variant suspect: square beats pgd" in shown(app)
        assert "1 suspect" in row(app, "adam")
        assert len(app.screen.asked().current) == 12


@story
async def test_sentences_name_ones_own_keys(lab):
    db = database.connect(lab.database)
    db.execute("UPDATE study_trial SET trust = 'suspect', trust_reasons = '[]' WHERE state = 'done'")
    (lab.root / "tui.toml").write_text('[keys]\n"mode(\'queue\')" = "f3"\nharder = "H"\n[keys.lab]\ngroup = "z"\n')
    async with opened(lab) as (app, pilot):
        assert "→ H attack harder" in " ".join(shown(app).split())
        assert " f3 Queue " in shown(app).splitlines()[0]
        await press_and_wait(pilot, "s")
        assert "z, none lists them" in shown(app)
        await press_and_wait(pilot, "z", *"none", "tab", "enter")
        assert "z groups them" in shown(app)
        assert app.session.own.key("queue.retry", "R") == "R"


@story
async def test_a_change_is_about_the_runs_of_the_row(lab):
    async with opened(lab, press=["D"]) as (app, pilot):
        assert "Delete 12 runs" in shown(app)
        await press_and_wait(pilot, "y")
        await pilot.pause(1.2)
        await calm(pilot)
        assert "12/12 variants" not in shown(app)
        assert len(labels(app)) == 3
        assert isinstance(app.screen, LabScreen)


@story
async def test_where_runs_come_later_the_keys_are_the_rows(tmp_path):
    """The rows are hidden while there are none: nothing unseen may take the focus, and the keys with it."""
    home = Home(tmp_path / "home")
    async with opened(home, press=["2"]) as (app, pilot):
        many.fill(home, done=2, failed=0, seeds=1, optimizers=["adam"], activations=["relu", "tanh"])
        await press_and_wait(pilot, "1")
        for _ in range(600):
            if "2/2 variants" in shown(app):
                break
            await pilot.pause(0.05)
        await press_and_wait(pilot, "g")
        assert isinstance(app.screen, Picker)
