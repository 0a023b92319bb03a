"""Compare: every key of it, on a small and on a large screen."""

import asyncio
import json

import pytest
from textual.widgets import Input

from app.tui.compare.screen import CompareScreen
from app.tui.compare.views import differences
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Picker
from storage.database import connect
from tests.app.tui.conftest import LARGE, SIZES, SMALL, opened, press_and_wait, shown
from tests.conftest import innate_command


def play(home, story, size=SMALL, **options):
    async def run():
        async with opened(home, size, **options) as (app, pilot):
            await press_and_wait(pilot, "6")
            assert isinstance(app.screen, CompareScreen)
            await story(app, pilot)

    asyncio.run(run())


async def pick(app, pilot, key, text):
    """Open a list with `key`, narrow it by `text` and take the first."""
    await press_and_wait(pilot, key)
    assert isinstance(app.screen, Picker)
    app.screen.query_one(Input).value = text
    await press_and_wait(pilot, "enter")


def remembered(home):
    return json.loads((home.root / "tui.json").read_text())["compare"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_view_fits_and_shows_every_variant(filled_home, size):
    async def story(app, pilot):
        views = [shown(app)]
        for _ in range(4):
            await press_and_wait(pilot, "tab")
            views.append(shown(app))
        bars, heat, curves, tradeoff, differences = views
        assert "[Bars]" in bars
        assert "50" in bars.splitlines()[3]
        assert bars.count("●") == bars.count("┤") == 4
        assert "[Heatmap]" in heat
        assert "optimizer × activation" in heat
        assert "[Curves]" in curves
        assert "●" in curves
        assert "[Trade-off]" in tradeoff
        assert "★" in tradeoff
        for view in (bars, curves, tradeoff):
            for name in ("adam relu", "adam tanh", "sgd relu", "sgd tanh"):
                assert name in view, view
        assert "[Differences]" in differences
        assert "optimizer.lr" in differences
        assert "architecture " not in differences
        assert "→ innate" in differences
        assert "→ trust" in differences
        await press_and_wait(pilot, "right_square_bracket")
        assert "[Bars]" in shown(app)
        await press_and_wait(pilot, "shift+tab")
        assert "[Differences]" in shown(app)
        await press_and_wait(pilot, "left_square_bracket")
        assert "[Trade-off]" in shown(app)

    play(filled_home, story, size)
    assert remembered(filled_home)["view"] == "tradeoff"


def test_runs_that_differ_in_whose_draw_their_training_samples_are_are_told_apart(filled_home):
    db = __import__("sqlite3").connect(filled_home.database)
    db.execute("UPDATE trial SET spec = json_set(spec, '$.vary', json('[\"seed\",\"train_subset\"]')) WHERE seed = 1")
    db.commit()
    found = differences(connect(filled_home.database, read_only=True), "tiny", ())
    assert "vary" in found.keys
    values = {run: found.values["vary", run] for run in found.runs}
    assert sorted(values.values()) == ["seed"] * 4 + ["seed, train_subset"] * 4
    db.execute("UPDATE trial SET spec = json_remove(spec, '$.vary')")
    db.commit()
    db.close()
    assert "vary" not in differences(connect(filled_home.database, read_only=True), "tiny", ()).keys


def test_numbers_that_are_not_ok_carry_the_word_in_every_view(filled_home):
    db = __import__("sqlite3").connect(filled_home.database)
    db.execute("UPDATE study_trial SET trust = 'suspect', trust_reasons = '[\"loss [b]still[/b] moving\"]'")
    db.commit()
    db.close()

    async def story(app, pilot):
        for _ in range(5):
            assert "suspect" in shown(app)
            await press_and_wait(pilot, "tab")
        assert "loss [b]still[/b] moving" in " ".join(shown(app).split())

    play(filled_home, story)


@pytest.mark.parametrize("size", SIZES)
def test_the_score_the_factors_and_the_attack_are_chosen_and_remembered(filled_home, size):
    async def story(app, pilot):
        await pick(app, pilot, "c", "retention")
        assert "retention %" in shown(app)
        await pick(app, pilot, "f", "activation × seed")
        text = shown(app)
        assert "[Heatmap]" in text
        assert "retention %, activation × seed" in text
        await press_and_wait(pilot, "a")
        assert "attacks belong to the curves" in shown(app)
        await press_and_wait(pilot, "tab", "c")
        assert "the score belongs to" in shown(app)
        await pick(app, pilot, "a", "pgd")
        assert "accuracy under pgd" in shown(app)
        await press_and_wait(pilot, "tab")
        await pick(app, pilot, "c", "curve_area largest")
        assert "clean against curve_area" in shown(app)
        await press_and_wait(pilot, "c")
        await press_and_wait(pilot, "escape")
        assert "clean against curve_area" in shown(app)

    play(filled_home, story, size)
    found = remembered(filled_home)
    assert found["score"] == "retention"
    assert found["robust"] == "curve_area"
    assert found["factors"] == ["activation", "seed"]
    assert found["attack"] == "pgd"

    async def again(app, pilot):
        assert "clean against curve_area" in shown(app)

    play(filled_home, again)


def test_marked_runs_are_compared_alone_and_m_shows_all(filled_home):
    async def run():
        async with opened(filled_home) as (app, pilot):
            await press_and_wait(pilot, "6")
            assert "none marked, so all" in shown(app)
            await press_and_wait(pilot, "m", "m")
            assert "space marks runs" in shown(app)
            await press_and_wait(pilot, "1", "space", "j", "space", "6")
            text = shown(app)
            assert "2 marked" in text
            assert text.count("┤") == 2
            assert app.screen.equivalents()["marked"].count("--trial ") == 2
            await press_and_wait(pilot, "m")
            text = shown(app)
            assert text.count("┤") == 4
            assert text.count("●") == 6, "four values and two marks"
            await press_and_wait(pilot, "m", "shift+tab")
            text = shown(app)
            assert "2 runs" in text
            assert "marked runs" in text
            for trial in {trial for _, trial in app.session.remembered.marks}:
                assert trial[:10] in text
            await press_and_wait(pilot, "1", "u", "space", "6")
            assert "no two runs to compare" in shown(app)

    asyncio.run(run())


def test_the_equivalent_commands_draw_the_same(filled_home):
    commands = []

    async def story(app, pilot):
        for _ in range(4):
            commands.append(app.screen.equivalents()["turn(1)"])
            await press_and_wait(pilot, "y")
            assert app.clipboard == commands[-1]
            await press_and_wait(pilot, "tab")
        commands.append(app.screen.equivalents()["turn(1)"].split(";")[0])
        await press_and_wait(pilot, "e")
        assert "innate chart" in shown(app)

    play(filled_home, story)
    assert [command.split()[2] for command in commands[:4]] == ["scores", "heatmap", "curves", "tradeoff"]
    for command in commands:
        assert "tiny" in innate_command(*command.split()[1:], home=filled_home.root).stdout


@pytest.mark.parametrize("size", SIZES)
def test_enter_opens_the_run_behind_a_row_and_escape_comes_back(filled_home, size):
    async def story(app, pilot):
        await press_and_wait(pilot, "j", "enter")
        assert isinstance(app.screen, DetailScreen)
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, CompareScreen)
        await press_and_wait(pilot, "tab", "enter")
        assert "no single run behind this row" in shown(app)

    play(filled_home, story, size)


def test_another_study_is_chosen(filled_home):
    db = __import__("sqlite3").connect(filled_home.database)
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(study)") if row[1] not in ("name", "run_at"))
    db.execute(f"INSERT INTO study (name, run_at, {columns}) SELECT 'other', 0, {columns} FROM study")
    db.commit()
    db.close()

    async def story(app, pilot):
        assert "tiny  ·" in shown(app)
        await pick(app, pilot, "o", "other")
        assert "other has nothing to show here yet" in shown(app)
        await pick(app, pilot, "S", "tiny")
        assert "tiny  ·" in shown(app)

    play(filled_home, story)


def test_an_empty_home_says_what_to_do(home):
    async def story(app, pilot):
        assert "Nothing has been run here yet" in shown(app)
        await press_and_wait(pilot, "tab", "tab", "o")
        assert "there is no study yet" in shown(app)
        await press_and_wait(pilot, "e")

    play(home, story)


def test_more_variants_than_lines_scroll(filled_home):
    async def story(app, pilot):
        assert "sgd tanh" in shown(app) or "sgd relu" in shown(app)
        await press_and_wait(pilot, "G")
        assert app.screen.table.cursor == 3
        await press_and_wait(pilot, "g")
        assert app.screen.table.cursor == 0
        await pilot.resize_terminal(140, 45)
        await press_and_wait(pilot, "j")
        assert "seeds" in shown(app)
        await pilot.resize_terminal(80, 24)
        await press_and_wait(pilot, "k")
        lines = shown(app).splitlines()
        assert lines[3].split()[-2:] == ["100", "trust"], "four steps of PGD are too few, which the verdicts say"

    play(filled_home, story, (80, 12))


def test_nothing_is_drawn_again_while_nothing_has_changed(filled_home):
    async def story(app, pilot):
        seen = []
        app.screen._lay_out = lambda: seen.append(1)
        app.screen.data_changed()
        await press_and_wait(pilot)
        await pilot.pause(0.2)
        assert not seen

    play(filled_home, story)


def test_the_screen_tells_what_went_wrong(filled_home, monkeypatch):
    from core.errors import BadInput

    def refuse(db, choice):
        raise BadInput("the disk is on strike")

    async def story(app, pilot):
        monkeypatch.setattr("app.tui.compare.screen.load", refuse)
        await press_and_wait(pilot, "tab")
        assert "the disk is on strike" in shown(app)

    play(filled_home, story)
