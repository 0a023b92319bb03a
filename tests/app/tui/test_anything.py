"""`:` finds screens, studies, runs, actions and commands by name, and goes there."""

import asyncio

import click
import pytest
import typer.main

from app.main import _commands as offered
from app.main import app as command_line
from app.tui.shell import commands, running
from app.tui.shell.anything import Act, Anything, Run, Study, actions, beginning
from app.tui.shell.commands import ANSWERS, CHANGES, SHELL, Command, Typed, typed
from app.tui.shell.keys import Key
from app.tui.widgets.dialogs import Item, TextPage
from storage import database, listing
from tests.app.tui.conftest import SMALL, calm, opened, press_and_wait, shown

COMMANDS = [
    Command("show", "everything about one trial", needs=True),
    Command("results", "scores with intervals"),
    Command("worker logs", "the log"),
    Command("run", "train and attack", needs=True),
]


def names():
    """Every command that there is, with those of its groups."""
    found = []
    for name, command in typer.main.get_command(command_line).commands.items():
        found += [f"{name} {part}" for part in getattr(command, "commands", ())] or [name]
    return found


def test_every_command_is_offered_and_either_run_from_the_screens_or_left_to_a_shell_with_a_reason():
    known = names()
    assert [one.name for one in offered(click.Context(typer.main.get_command(command_line)))] == known
    assert sorted([*ANSWERS, *CHANGES, *SHELL]) == sorted(known), "a new command belongs to one of them"
    assert set(commands._OTHERWISE) | set(commands._SECOND) <= set(known)
    for name, why in SHELL.items():
        assert Typed(name).does == "works"
        assert Typed(name).why == why != ""


@pytest.mark.parametrize(
    ("text", "line", "does"),
    [
        ("results --by optimizer", "innate results --by optimizer", "answers"),
        ("innate results", "innate results", "answers"),
        ("worker logs", "innate worker logs", "answers"),
        ("worker logs -f", "innate worker logs -f", "works"),
        ("run quick", "innate run quick", "works"),
        ("run quick --detach", "innate run quick --detach", "changes"),
        ("run 'a b.toml'", "innate run 'a b.toml'", "works"),
        ("show 12", "innate show 12", "answers"),
    ],
)
def test_a_command_is_read_as_a_shell_would(text, line, does):
    found = typed(text, COMMANDS)
    assert (found.line, found.does) == (line, does)


@pytest.mark.parametrize("text", ["", "worker", "resul", "run 'open", "innate"])
def test_what_is_none_is_none(text):
    assert typed(text, COMMANDS) is None


@pytest.mark.parametrize(
    ("name", "arguments", "does"),
    [
        ("delete", (), "works"),
        ("delete", ("1f", "--yes"), "changes"),
        ("findings", ("--settle",), "works"),
        ("trials", ("--output=a.csv",), "changes"),
        ("gc", (), "works"),
        ("gc", ("--dry-run",), "answers"),
        ("something-new", (), "works"),
        ("note", ("quick",), "answers"),
        ("note", ("1f", "--study", "quick"), "answers"),
        ("note", ("quick", "for the paper"), "changes"),
        ("note", ("quick", "--tag", "keep"), "changes"),
    ],
)
def test_an_option_may_make_something_else_of_it(name, arguments, does):
    assert Typed(name, arguments).does == does


def labels(chooser, text):
    return [chooser._items[place].label for place in chooser.found(text)]


def test_names_stand_before_runs_and_those_before_descriptions():
    keys = [Key("x", "fade", "fade", "away"), Key("y", "other", "other", "fade it")]
    chooser = Anything(actions("queue", "queue", keys), COMMANDS, None)
    chooser._found = [Item(Run("s", "fade01" * 10), "fade01fade", "a run")]
    chooser._for = "fad"
    assert labels(chooser, "fade") == ["fade", "fade01fade", "other"]
    assert labels(chooser, "fade0") == ["fade01fade"]
    assert labels(chooser, "results --by seed")[0] == "innate results --by seed"
    assert labels(chooser, "log") == ["innate worker logs"]
    chooser.add([Item(Study("fade-study"), "fade-study")])
    assert labels(chooser, "fade")[:2] == ["fade-study", "fade"]
    first = chooser.found("other")[0]
    assert chooser._items[first].value == Act("queue", "other")


def test_runs_are_found_by_the_beginning_of_their_ids_through_the_index(filled_home):
    db = database.connect(filled_home.database)
    row = listing.page(db, limit=1)[0]
    found = beginning(db, row.trial_id[:6])
    assert [one.trial_id for one in found] == [row.trial_id]
    assert beginning(db, "fffffff0") == []
    assert len(beginning(db, "")) == 8
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM trial WHERE id >= 'a' AND id < 'ag' ORDER BY id LIMIT 9"
    ).fetchall()
    assert "SEARCH" in str(plan)


def test_it_leads_anywhere_from_anywhere(filled_home, monkeypatch):
    trial = listing.page(database.connect(filled_home.database), limit=1)[0].trial_id
    ran = []
    monkeypatch.setattr("app.tui.shell.anywhere.run_typed", lambda page, command: ran.append((page.MODE, command.line)))

    async def story():
        async with opened(filled_home, SMALL, press=["5"]) as (app, pilot):
            app._anywhere._commands = COMMANDS
            await press_and_wait(pilot, "colon", *"drain", "escape", "colon", *"retry all")
            assert "queue A" in shown(app)
            await press_and_wait(pilot, "enter")
            await calm(pilot)
            assert app.screen.MODE == "queue"
            assert "nothing has failed" in shown(app)
            await press_and_wait(pilot, "colon", *"tiny", "enter")
            await calm(pilot)
            assert app.screen.MODE == "lab"
            assert "8 runs" in shown(app)
            await press_and_wait(pilot, "colon", *trial[:8])
            await press_and_wait(pilot, "enter")
            assert app.screen.MODE == "run"
            await press_and_wait(pilot, "colon", *"show", "enter", *trial[:4], "enter")
            assert ran == [("run", f"innate show {trial[:4]}")]
            await press_and_wait(pilot, "colon", *"innate-light", "enter")
            assert app.theme == app.session.remembered.theme == "innate-light"

    asyncio.run(story())


def test_what_a_command_answers_is_shown_and_what_changes_is_asked_about(filled_home, monkeypatch):
    monkeypatch.setattr(running, "MOST_SECONDS", 600.0)  # a busy machine is no fault

    async def story():
        async with opened(filled_home, SMALL) as (app, pilot):
            running.run_typed(app.screen, Typed("worker pause", ("--reason", "later")))
            await calm(pilot)
            assert "Run this?" in shown(app)
            await press_and_wait(pilot, "n")
            assert app.session.done == []
            running.run_typed(app.screen, Typed("run", ("quick",)))
            assert app.clipboard.endswith("run quick")
            running.run_typed(app.screen, Typed("show", ("zz",)))
            for _ in range(1500):
                await pilot.pause(0.1)
                if isinstance(app.screen, TextPage):
                    break
            await calm(pilot)
            assert "'zz' is no trial id" in shown(app)
            await press_and_wait(pilot, "escape")
            assert "exit code" in shown(app)
            assert app.session.done == [], "it was copied alone, and the other failed"

    asyncio.run(story())
