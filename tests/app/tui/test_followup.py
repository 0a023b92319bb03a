"""What one goes on with from a run: attacking it harder, editing and resubmitting it, noting something on it."""

import asyncio
import json

import pytest
from textual.widgets import Static

from app.tui.compose.screen import ComposeScreen
from app.tui.followup.ways import Ways
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Confirm, Prompt
from storage.database import connect
from storage.queries import trials
from tests.app.tui.conftest import LARGE, SMALL, calm, opened, press_and_wait, shown


def play(home, story, size=SMALL, keys=("enter",), **options):
    async def run():
        async with opened(home, size, press=keys, **options) as (app, pilot):
            await story(app, pilot)

    asyncio.run(run())


def asked(home, sql):
    db = connect(home.database, read_only=True)
    found = db.execute(sql).fetchall()
    db.conn.close()
    return found


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_run_is_escalated_with_its_cost_and_a_worker_offered(filled_home, size):
    async def story(app, pilot):
        await press_and_wait(pilot, "A")
        assert isinstance(app.screen, Ways)
        text = shown(app)
        for words in (
            *("Attack harder: 1 run of tiny", "escalate", "apgd targeted", "square", "standard", "more ε"),
            *(
                "level the study",
                "audit in full depth",
                "at most",
                "on what still stands at ℓ∞ ε 0.1",
                "own worst case",
            ),
            "--escalate --study tiny",
        ):
            assert words in text, text
        await press_and_wait(pilot, "enter")
        assert isinstance(app.screen, Confirm)
        assert "no worker is running" in shown(app)
        await press_and_wait(pilot, "n")
        assert isinstance(app.screen, DetailScreen)
        assert "escalating 1 run" in shown(app)
        assert "queued" in shown(app).splitlines()[2]

    play(filled_home, story, size)
    ((trial, norm, eps),) = asked(filled_home, "SELECT trial_id, norm, eps FROM escalation")
    assert (trial, norm, eps) == (asked_first(filled_home), "linf", 0.1)
    assert asked(filled_home, "SELECT count(*) FROM score WHERE trial_id = '" + trial + "'")[0][0] > 0, "scores stay"


def asked_first(home):
    db = connect(home.database, read_only=True)
    row = trials(db)[0]
    db.conn.close()
    return row.trial_id


def test_any_attack_with_its_options_and_other_radii_are_asked_for_and_mistakes_told(filled_home):
    async def story(app, pilot):
        await press_and_wait(pilot, "A", *["down"] * 5, "enter", *"bim", "enter")
        assert isinstance(app.screen, Prompt)
        await press_and_wait(pilot, *"steps=0")
        assert "out of range" in shown(app)
        await press_and_wait(pilot, "ctrl+u", *"steps=3 eps=0.1", "enter")
        told = app.screen.query_one(Static).content.plain
        assert told.startswith("bim steps=3 eps=0.1 on 1 run of tiny?")
        assert told.endswith(" --attack bim --eps 0.1 --set steps=3 --study tiny")
        await press_and_wait(pilot, "y", "n")
        assert "queued 1 run: bim" in shown(app)
        await press_and_wait(pilot, "A", *["down"] * 5, "enter")
        assert "pgd had 0.1, 0.2" in shown(app)
        await press_and_wait(pilot, *"0.3, 2")
        assert "out of range" in shown(app)
        await press_and_wait(pilot, "ctrl+u", *"0.3", "enter")
        assert "curve areas keep to the study's own ε" in app.screen.query_one(Static).content.plain
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, DetailScreen)

    play(filled_home, story)
    (spec,) = asked(filled_home, "SELECT spec FROM attack WHERE name = 'bim'")
    found = json.loads(spec[0])
    assert (found["eps"], found["params"]["steps"]) == ([0.1], 3)
    assert asked(filled_home, "SELECT count(*) FROM trial_attack") == [(1,)]


def test_a_run_is_edited_in_compose_and_undo_brings_back_what_was_composed(filled_home):
    async def story(app, pilot):
        await press_and_wait(pilot, "E")
        assert isinstance(app.screen, ComposeScreen)
        document = app.screen.model.document
        row = next(row for row in trials(connect(filled_home.database, read_only=True)))
        assert (document["name"], document["seeds"]) == ("tiny-edited", [row.seed])
        assert [one["name"] for one in document["optimizers"]] == [row.optimizer]
        assert "to edit; S submits it as tiny-edited" in shown(app)
        await press_and_wait(pilot, "u")
        assert app.screen.model.document["name"] == "my-study"
        await press_and_wait(pilot, "1", "enter", "E")
        assert app.screen.model.document["name"] == "tiny-edited", "Compose was there already"

    play(filled_home, story)


def test_a_note_with_tags_is_written_shown_changed_and_taken_away(filled_home):
    async def story(app, pilot):
        await press_and_wait(pilot, "N", *"odd curve", "tab", *"Keep two,words")
        assert "Note on" in shown(app)
        await press_and_wait(pilot, "enter")
        assert "noted: odd curve [keep, two, words]" in shown(app)
        assert "odd curve [keep, two, words]" in app.screen.query_one("#facts").content.plain
        await press_and_wait(pilot, "N", "tab", *" %")
        assert "one word" in shown(app)
        await press_and_wait(pilot, "enter", "escape", "N", "ctrl+u", "tab", "ctrl+u", "enter")
        assert "the note is gone" in shown(app)

    play(filled_home, story)
    assert asked(filled_home, "SELECT count(*) FROM note") == [(0,)]


def test_nothing_is_asked_where_nothing_may_be_written(filled_home):
    async def story(app, pilot):
        before = app.screen
        for key in ("A", "N"):
            await press_and_wait(pilot, key)
            assert app.screen is before
            assert "to read only" in shown(app)
        await calm(pilot)

    play(filled_home, story, read_only=True)
