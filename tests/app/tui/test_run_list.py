"""The Lab's list of runs: every key of it, the filter, marks, baseline, columns, export, and what it says when empty."""

import asyncio
import csv
import functools
import json
import shlex
import time

import pytest
from textual import events

from app.tui.lab.screen import LabScreen
from storage import database, listing, queue
from storage.home import Home
from tests import many
from tests.app.tui.conftest import LARGE, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import copy_home, innate_command

LISTED = json.dumps({"lab": {"by": []}})


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Eight runs of one study, all done."""
    home = Home(tmp_path_factory.mktemp("eight") / "home")
    many.fill(home, done=8, failed=0, seeds=2)
    return home


@pytest.fixture
def filled_home(eight, tmp_path):
    """A copy of it, to change at will, in which runs are listed."""
    copy_home(eight.root, tmp_path / "filled")
    (tmp_path / "filled" / "tui.json").write_text(LISTED)
    return Home(tmp_path / "filled")


def story(test):
    """An async test, run to its end."""

    @functools.wraps(test)
    def run(*arguments, **options):
        asyncio.run(test(*arguments, **options))

    return run


def signs(text):
    """What stands before the rows, of those that have a sign."""
    return [line[0] for line in text.splitlines()[4:12] if line[0] in "●◆○"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_the_table_shows_every_run_and_the_preview_follows_the_cursor(filled_home, size):
    async with opened(filled_home, size) as (app, pilot):
        await pilot.pause(0.2)
        await calm(pilot)
        text = shown(app)
        assert "8 runs" in text
        assert sum("relu " in line or "tanh " in line for line in text.splitlines()[4:12]) == 8
        rows = listing.page(database.connect(filled_home.database))
        assert rows[0].trial_id[:10] in text
        await press_and_wait(pilot, "j", "j")
        await pilot.pause(0.2)
        await calm(pilot)
        text = shown(app)
        assert rows[2].trial_id[:10] in text
        assert "┌" in text, "its curve"
        await press_and_wait(pilot, "G")
        assert app.screen.grid.cursor == 7
        await press_and_wait(pilot, "home", "up")
        assert app.screen.grid.cursor == 0


@story
async def test_a_filter_that_arrives_all_at_once_is_not_looked_for_letter_by_letter(filled_home, monkeypatch):
    looked = []
    load = LabScreen.load

    def slowly(screen, db, question):
        looked.append(question.chosen.text)
        time.sleep(0.1)
        return load(screen, db, question)

    async with opened(filled_home, press=["slash"]) as (app, pilot):
        monkeypatch.setattr(LabScreen, "load", slowly)
        for character in "optimizer=sgd state=done":
            name = {" ": "space", "=": "equals_sign"}.get(character, character)
            app.typeahead.take(events.Key(name, character))
        await calm(pilot)
        assert "4 of 8 runs" in shown(app)
    assert looked[-1] == "optimizer=sgd state=done"
    assert len(looked) < 8, looked


@story
async def test_filter_as_one_types_kept_with_enter_undone_with_escape(filled_home):
    async with opened(filled_home, press=["slash", *"optimizer=sgd"]) as (app, pilot):
        assert "4 of 8 runs" in shown(app)
        await press_and_wait(pilot, "space", *"clean>", *"lots")
        assert "clean is a number, 'lots' is not" in shown(app)
        await press_and_wait(pilot, "enter")
        assert app.screen.query_one("#filter").has_class("open"), "a bad filter is not accepted"
        await press_and_wait(pilot, "escape")
        assert "8 runs" in shown(app)
        assert "filter:" not in shown(app)
        await press_and_wait(pilot, "slash", *"optimizer=sgd", "enter")
        assert app.focused is app.screen.grid
        assert json.loads((filled_home.root / "tui.json").read_text())["filter"] == "optimizer=sgd"
        await press_and_wait(pilot, "slash", "end", *" seed=9", "enter")
        assert "No run passes the filter optimizer=sgd seed=9" in shown(app)
    async with opened(filled_home) as (app, pilot):
        assert "0 of 8 runs" in shown(app), "the filter is remembered"


@story
async def test_sort_by_a_choice_by_a_title_and_around(filled_home):
    async with opened(filled_home, press=["s", *"innate", "enter"]) as (app, pilot):
        values = [app.screen.grid.row(index).trial.innate for index in range(8)]
        assert values == sorted(values, reverse=True)
        assert "innate▼" in shown(app)
        await press_and_wait(pilot, "r")
        assert [app.screen.grid.row(index).trial.innate for index in range(8)] == values[::-1] or len(set(values)) < 8
        assert "innate▲" in shown(app)
        heading = shown(app).splitlines()[3]
        await pilot.click("#grid", offset=(heading.index("optimizer") + 2, 0))
        await calm(pilot)
        assert app.session.remembered.sort == "optimizer"
        names = [app.screen.grid.row(index).trial.optimizer for index in range(8)]
        assert names == sorted(names)
        await press_and_wait(pilot, "s", "enter")
        assert app.session.remembered.sort is None


@story
async def test_reverse_without_an_order_says_what_to_do(filled_home):
    async with opened(filled_home, press=["r"]) as (app, _):
        assert "choose what to sort by first" in shown(app)


@story
async def test_marks_and_baseline_are_seen_and_remembered(filled_home):
    async with opened(filled_home, press=["space", "space", "b"]) as (app, pilot):
        text = shown(app)
        assert signs(text) == ["●", "●", "◆"]
        assert "2 marked" in text
        assert "Δ" in text.splitlines()[3]
        assert "+0.0" in next(line for line in text.splitlines() if line.startswith("◆"))
    async with opened(filled_home) as (app, pilot):
        assert signs(shown(app)) == ["●", "●", "◆"]
        await press_and_wait(pilot, "u")
        assert signs(shown(app)) == ["◆"]
        await press_and_wait(pilot, "j", "j", "b")
        assert "Δ" not in shown(app).splitlines()[3]
        assert "no baseline" in shown(app)


@story
async def test_columns_are_chosen_and_remembered(filled_home):
    async with opened(filled_home, press=["C", *"prio", "tab", "enter"]) as (app, _):
        assert "priority" in app.session.remembered.columns
    async with opened(filled_home, LARGE) as (app, _):
        assert "prio" in shown(app).splitlines()[3]


@story
async def test_the_preview_can_be_hidden(filled_home):
    async with opened(filled_home, press=["p"]) as (app, pilot):
        assert "┌" not in shown(app)
        await press_and_wait(pilot, "p")
        await pilot.pause(0.2)
        await calm(pilot)
        assert "┌" in shown(app)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
@story
async def test_what_is_filtered_is_exported(filled_home, tmp_path, ending):
    dest = tmp_path / f"out.{ending}"
    async with opened(filled_home, press=["slash", *"optimizer=sgd", "enter", "x"]) as (app, pilot):
        field = app.screen.query_one("Field")
        field.value = str(tmp_path / "out.txt")
        await calm(pilot)
        assert "name it .csv, .json or .jsonl" in shown(app)
        field.value = str(tmp_path / "nowhere" / "out.csv")
        await calm(pilot)
        assert "there is no folder" in shown(app)
        field.value = str(dest)
        await press_and_wait(pilot, "enter")
        await calm(pilot)
        assert "wrote 4 rows" in shown(app)
        command = app.screen.equivalents()["export"].replace("runs.csv", f"{tmp_path}/same.{ending}")
    innate_command(*shlex.split(command)[1:], home=filled_home.root)
    assert (tmp_path / f"same.{ending}").read_text() == dest.read_text(), "the equivalent command does the same"
    text = dest.read_text()
    found = (
        list(csv.DictReader(text.splitlines()))
        if ending == "csv"
        else json.loads(text)
        if ending == "json"
        else [json.loads(line) for line in text.splitlines()]
    )
    assert [row["optimizer"] for row in found] == ["sgd"] * 4
    assert all(float(row["innate"]) >= 0 for row in found)


@story
async def test_delete_asks_first_and_retry_queues_again(filled_home):
    db = database.connect(filled_home.database)
    first = listing.page(db)[0].trial_id
    queue.cancel(db, [first], "big")
    db.execute("UPDATE study_trial SET state = 'cancelled' WHERE trial_id = ?", (first,))
    async with opened(filled_home, press=["R"]) as (app, pilot):
        await calm(pilot)
        assert f"innate retry {first[:10]}" in shown(app)
        assert listing.page(db)[0].state == "done", "all of it is there, so it is done again"
        await press_and_wait(pilot, "D", "n")
        assert listing.count(db) == 8
        await press_and_wait(pilot, "space", "space", "D", "y")
        await pilot.pause(1.2)
        await calm(pilot)
        assert listing.count(db) == 6
        assert "6 runs" in shown(app)
        assert "deleted 2 runs" in shown(app)


@story
async def test_ids_are_copied(filled_home, monkeypatch):
    copied = []
    async with opened(filled_home) as (app, pilot):
        monkeypatch.setattr(type(app), "copy_to_clipboard", lambda self, text: copied.append(text))
        await press_and_wait(pilot, "y")
        assert copied == [app.screen.run_list.current.trial_id]


@story
async def test_every_action_shows_its_command(filled_home):
    async with opened(filled_home, press=["slash", *"optimizer=sgd", "enter", "s", *"innate", "enter", "e"]) as (
        app,
        pilot,
    ):
        text = shown(app)
        assert "innate trials --filter optimizer=sgd --sort innate --descending" in text
        await press_and_wait(pilot, "end")
        assert "innate show" in shown(app)
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, LabScreen)


@story
async def test_a_fresh_home_says_what_to_do(tmp_path):
    async with opened(Home(tmp_path / "fresh"), press=["j", "space", "b", "y", "R", "D", "x", "escape"]) as (app, _):
        assert "Nothing has been run here yet" in shown(app)
        assert "innate run quick --detach" in shown(app)
    assert not (tmp_path / "fresh").exists(), "looking writes nothing"


@story
async def test_a_database_only_read_refuses_changes_in_a_sentence(filled_home):
    before = filled_home.database.read_bytes()
    async with opened(filled_home, read_only=True, press=["D", "y"]) as (app, pilot):
        await calm(pilot)
        assert "--db opens a database to read only" in shown(app)
    assert filled_home.database.read_bytes() == before
    assert (filled_home.root / "tui.json").read_text() == LISTED


@story
async def test_what_others_change_appears_by_itself(filled_home):
    async with opened(filled_home) as (app, pilot):
        db = database.connect(filled_home.database)
        first = listing.page(db)[0].trial_id
        db.execute("UPDATE study_trial SET state = 'failed', reason = 'it burst' WHERE trial_id = ?", (first,))
        await pilot.pause(1.3)
        await calm(pilot)
        await pilot.pause(0.2)
        assert "failed" in shown(app).splitlines()[4]
        assert "it burst" in shown(app)
