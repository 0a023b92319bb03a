"""The detail of a run: every tab and key of it, on a small and on a large screen."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import datetime

import pytest
from textual.widgets import Input

from app.tui.lab.screen import LabScreen
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Picker, TextPage
from storage import journal
from storage.database import connect
from storage.journal import Line
from storage.queries import trials
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import innate_command

TABS = ("Overview", "Training", "Attacks", "Examples", "Config", "Log")


def play(home, story, size=SMALL, keys=("enter",)):
    async def run():
        async with opened(home, size, press=keys) as (app, pilot):
            await story(app, pilot)

    asyncio.run(run())


def change(home, statement, *values):
    db = sqlite3.connect(home.database)
    db.execute(statement, values)
    db.commit()
    db.close()


def first_trial(home):
    db = connect(home.database, read_only=True)
    row = trials(db)[0]
    db.conn.close()
    return row.trial_id


NOON = datetime(2026, 11, 25, 12).timestamp()


def write_log(home, entries, after=0):
    """What is to be read of the first trial, instead of what its run has left; another trial tells as much."""
    db = connect(home.database)
    for second, entry in enumerate(entries, after):
        other = Line(NOON + second, "0123456789", journal.Crashed("of another"))
        journal.append(db, [Line(NOON + second, first_trial(home), entry), other])
    db.conn.close()


def forget_log(home):
    change(home, "DELETE FROM event")
    change(home, "UPDATE epoch SET ended_at = NULL")


def test_whose_draw_the_training_samples_are_is_told(filled_home):
    async def story(app, pilot):
        assert "digits, 300 samples, drawn by its seed" in shown(app)
        await press_and_wait(pilot, "shift+tab", "shift+tab")
        assert "300, drawn by its seed" in app.screen.query_one("#config").content.plain

    change(filled_home, "UPDATE trial SET spec = json_set(spec, '$.vary', json('[\"seed\",\"train_subset\"]'))")
    play(filled_home, story, LARGE)


def test_what_was_measured_of_the_model_is_told(filled_home):
    async def story(app, pilot):
        told = app.screen.query_one("#facts").content.plain
        (line,) = [line for line in told.splitlines() if line.startswith("gradient_l1")]
        assert line.endswith("logits / pixel")

    play(filled_home, story)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_tab_shows_what_it_is_for(filled_home, size):
    forget_log(filled_home)
    write_log(filled_home, [journal.Began("cpu", 0), journal.Failed("loss is not finite", "Traceback\n  here")])

    async def story(app, pilot):
        assert isinstance(app.screen, DetailScreen)
        texts = {}
        for name in TABS:
            texts[name] = shown(app)
            assert f"[{name}]" in texts[name]
            assert first_trial(filled_home)[:10] in texts[name]
            await press_and_wait(pilot, "tab")
        assert "[Overview]" in shown(app)
        for word in ("done", "clean_accuracy %", "innate", "trust", "of this model", "pgd ℓ∞"):
            assert word in texts["Overview"], texts["Overview"]
        for word in ("epoch", "loss", "acc %", "● loss"):
            assert word in texts["Training"]
        for word in ("fgsm", "pgd", "0.1", "0.2", "robust %", "forward", "seconds", "samples, crafted in"):
            assert word in texts["Attacks"]
        for word in ("example 1 of", "→", "clean", "adversarial", "difference ×", "▀"):
            assert word in texts["Examples"]
        assert first_trial(filled_home) in texts["Config"]
        assert "4 lines" in texts["Log"]
        assert "2026-11-25 12:00:00  begins on cpu (slot 1)" in texts["Log"]
        assert "12:00:01  loss is not finite" in texts["Log"]
        assert "12:00:01    here" in texts["Log"]
        assert "of another" not in texts["Log"]
        await press_and_wait(pilot, "left_square_bracket")
        assert "[Log]" in shown(app)
        await press_and_wait(pilot, "right_square_bracket", "shift+tab", "shift+tab")
        assert "[Config]" in shown(app)

    play(filled_home, story, size)


def test_config_holds_everything(filled_home):
    change(filled_home, "UPDATE attempt SET traceback = 'Traceback\n  [bold]boom[/bold]', reason = 'it broke'")

    async def story(app, pilot):
        await press_and_wait(pilot, "shift+tab", "shift+tab")
        text = app.screen.query_one("#config").content.plain
        for word in (
            "hidden",
            "lr",
            "beta1",
            "epochs",
            "batch_size",
            "digits",
            "torch",
            "threads",
            "device",
            "initial",
        ):
            assert word in text
        assert "[bold]boom[/bold]" in text
        assert "it broke" in text
        before = shown(app)
        await press_and_wait(pilot, "j", "j", "down")
        assert shown(app) != before
        await press_and_wait(pilot, "k", "k", "up")
        assert shown(app) == before

    play(filled_home, story)


@pytest.mark.parametrize("size", SIZES)
def test_examples_go_round_and_are_chosen_by_attack(filled_home, size):
    async def story(app, pilot):
        await press_and_wait(pilot, "n")
        assert "n and p go through the examples" in shown(app)
        await press_and_wait(pilot, "tab", "tab", "tab")
        count = app.screen._run.example.count
        assert count > 2
        for keys, place in (("n", 2), ("j", 3), ("p", 2), ("k", 1), ("p", count), ("n", 1)):
            await press_and_wait(pilot, keys)
            assert f"example {place} of {count}" in shown(app)
        assert "fgsm" in shown(app).splitlines()[4]
        await press_and_wait(pilot, "a")
        assert isinstance(app.screen, Picker)
        app.screen.query_one(Input).value = "pgd"
        await press_and_wait(pilot, "enter")
        text = shown(app)
        assert f"of {count}" not in text
        assert "pgd ℓ∞" in text.splitlines()[4]
        assert "--attack pgd" in app.screen.equivalents()["on(1)"]

    play(filled_home, story, size)


def test_without_colour_a_ramp_of_characters_stands_for_the_picture(filled_home):
    async def story(app, pilot):
        app.session.context = replace(app.session.context, colour=False)
        await press_and_wait(pilot, "tab", "tab", "tab")
        text = shown(app)
        assert "▀" not in text
        assert "@@" in text

    play(filled_home, story)


def test_what_is_not_there_is_said_in_a_sentence(filled_home):
    trial = first_trial(filled_home)
    change(filled_home, "DELETE FROM example")
    forget_log(filled_home)

    async def unbroken(app, pilot):
        await press_and_wait(pilot, "tab", "tab", "tab")
        assert "nothing broke it" in shown(app)
        await press_and_wait(pilot, "tab", "tab")
        assert "log says nothing about this run" in shown(app)

    play(filled_home, unbroken)
    for table in ("evaluation", "epoch", "score", "traits"):
        change(filled_home, f"DELETE FROM {table}")
    change(filled_home, "UPDATE study_trial SET state = 'queued', trust = NULL, trust_reasons = NULL")

    async def untouched(app, pilot):
        text = shown(app)
        assert "Not attacked yet: the run is queued" in text
        assert "It waits for a worker: 3 says why" in text
        await press_and_wait(pilot, "tab")
        assert "No epoch is finished yet" in shown(app)
        await press_and_wait(pilot, "tab")
        assert "Not attacked yet" in shown(app)
        await press_and_wait(pilot, "tab")
        assert "Not attacked yet" in shown(app)
        assert f"innate attack {trial[:10]} --attack pgd" in shown(app)
        await press_and_wait(pilot, "a")
        assert "nothing to choose" in shown(app)
        await press_and_wait(pilot, "tab", "tab")
        assert "it has not been started" in shown(app)

    play(filled_home, untouched)


def test_failed_evaluations_stand_in_the_table_with_their_reason(filled_home):
    change(
        filled_home,
        "UPDATE evaluation SET state = 'failed', reason = 'out of memory [x]', traceback = 'Tr' WHERE id % 2",
    )

    async def story(app, pilot):
        await press_and_wait(pilot, "tab", "tab", "G")
        text = shown(app)
        assert "failed" in text
        assert "failed: out of memory [x]" in text

    play(filled_home, story)


@pytest.mark.parametrize("size", SIZES)
def test_the_log_is_searched_and_followed(filled_home, size):
    forget_log(filled_home)
    words = [f"epoch {number}, loss" if number % 3 else f"pause {number}" for number in range(60)]
    write_log(filled_home, [journal.Warned(text) for text in words])

    async def story(app, pilot):
        await press_and_wait(pilot, "slash")
        assert "[Log]" in shown(app)
        await press_and_wait(pilot, *"PAUSE")
        assert "match 1 of 20" in shown(app)
        await press_and_wait(pilot, "enter", "n", "n", "p")
        assert "match 2 of 20" in shown(app)
        await press_and_wait(pilot, "p", "p")
        assert "match 20 of 20" in shown(app)
        assert "pause 57" in shown(app)
        await press_and_wait(pilot, "g")
        assert "pause 0" in shown(app)
        await press_and_wait(pilot, "F")
        assert "following the end" in shown(app)
        assert "epoch 59" in shown(app)
        write_log(filled_home, [journal.Warned("the very last word")], after=60)
        app.screen.data_changed()
        await calm(pilot)
        assert "the very last word" in shown(app)
        await press_and_wait(pilot, "F")
        assert "not following" in shown(app)
        await press_and_wait(pilot, "slash", "x", "x")
        assert "no match" in shown(app)
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, DetailScreen)
        assert "no match" not in shown(app)
        await press_and_wait(pilot, "n")
        assert "search for something first" in shown(app)
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, LabScreen)

    play(filled_home, story, size)


def test_a_run_tells_what_has_happened_to_it(filled_home):
    """Also one that was run in the foreground, of which no worker's log says anything."""
    assert not filled_home.worker_log.exists()

    async def story(app, pilot):
        await press_and_wait(pilot, "shift+tab")
        text = shown(app)
        for told in ("begins on cpu (slot", "epoch 1, loss ", "epoch 3, loss ", "trained in ", "fgsm ℓ∞ 0.1→", "done"):
            assert told in text, told
        order = [text.rindex(told) for told in ("begins", "epoch 1", "epoch 3", "trained in", "pgd ℓ∞", "done")]
        assert order == sorted(order)

    play(filled_home, story)


def test_keys_that_lead_elsewhere(filled_home):
    trial = first_trial(filled_home)

    async def story(app, pilot):
        await press_and_wait(pilot, "y")
        assert app.clipboard == trial
        for key in ("e", "question_mark"):
            await press_and_wait(pilot, key)
            assert isinstance(app.screen, TextPage)
            await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, DetailScreen)
        await press_and_wait(pilot, "4")
        await press_and_wait(pilot, "1")
        assert isinstance(app.screen, DetailScreen)  # it is still open over the Lab
        await press_and_wait(pilot, "1")
        assert isinstance(app.screen, LabScreen)
        await press_and_wait(pilot, "enter", "backspace")
        assert isinstance(app.screen, LabScreen)

    play(filled_home, story)


def test_its_equivalent_commands_work(filled_home):
    commands = {}

    async def story(app, pilot):
        commands.update(app.screen.equivalents())

    play(filled_home, story)
    for action in ("turn(1)", "on(1)", "copy"):
        innate_command(*commands[action].split()[1:], home=filled_home.root)


def test_a_run_that_is_deleted_meanwhile_says_so(filled_home):
    async def story(app, pilot):
        change(filled_home, "PRAGMA foreign_keys = OFF")
        change(filled_home, "DELETE FROM study_trial")
        app.screen.data_changed()
        await calm(pilot)
        assert "This run is gone" in shown(app)
        await press_and_wait(pilot, "tab", "escape")
        assert isinstance(app.screen, LabScreen)

    play(filled_home, story)


def test_a_running_trial_grows_while_one_looks_and_nothing_else_is_drawn(filled_home):
    change(filled_home, "UPDATE study_trial SET state = 'running'")

    async def story(app, pilot):
        assert app.screen.log_pane.following
        await press_and_wait(pilot, "tab")
        assert app.screen.query_one("#epochs").total == 3
        change(
            filled_home,
            "INSERT INTO epoch (trial_id, epoch, loss, accuracy, lr, seconds) "
            "SELECT trial_id, 4, 0.5, 0.9, 0.02, 1.0 FROM epoch WHERE epoch = 3",
        )
        app.screen.data_changed()
        await calm(pilot)
        assert app.screen.query_one("#epochs").total == 4
        assert "0.5000" in shown(app)

    play(filled_home, story)
