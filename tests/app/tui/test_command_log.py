"""The command log: what is kept and how it is spelled; and every command that a screen names exists and is whole."""

import asyncio
import re
import shlex
import subprocess

import pytest
import typer.main

from app.main import app as command_line
from app.tui.lab.views.pane import VIEWS
from app.tui.shell.command_log import CommandLog
from app.tui.shell.done import Done, script, spelled
from storage import database
from tests.app.tui.conftest import calm, opened, press_and_wait, shown

MODES = {"1": "lab", "2": "compose", "3": "queue", "4": "findings", "5": "worker"}
_HERE_DOCUMENT = re.compile(r"(?s)^(.*?) <<'(\w+)'\n(.*)\n?\2$")


def parse(command):
    """The real command line reads it (and does nothing); raises what it raises. Returns the documents given on stdin."""
    documents = []
    if match := _HERE_DOCUMENT.match(command):
        command, document = match[1], match[3]
        documents.append(document)
    assert not re.search(r"\b(TRIAL|STUDY|TEXT|N)\b|…", command), f"not filled in: {command}"
    for part in re.split(r" && |; | \| ", command):
        words = shlex.split(part)
        if words[0] in ("grep", "cat"):
            continue
        assert words[0] == "innate", command
        _read(typer.main.get_command(command_line), "innate", words[1:], None)
    return documents


def _read(command, name, words, parent):
    context = command.make_context(name, words, parent=parent)
    if hasattr(command, "resolve_command"):
        name, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        _read(inner, name, rest, context)


def test_every_command_of_every_screen_is_whole_and_can_be_read(filled_home):
    async def story():
        found = {}
        async with opened(filled_home, press=["space"]) as (app, pilot):
            for key, mode in MODES.items():
                await press_and_wait(pilot, key)
                found[mode] = dict(app.screen.equivalents())
            await press_and_wait(pilot, "1")
            for view in VIEWS:
                await press_and_wait(pilot, "tab")
                found["lab", view] = dict(app.screen.equivalents())
            await press_and_wait(pilot, "tab", "enter")
            found["detail"] = dict(app.screen.equivalents())
        return found

    for screen, commands in asyncio.run(story()).items():
        assert commands, screen
        for action, command in commands.items():
            for document in parse(command):
                assert 'name = "' in document, (screen, action)


def test_screens_without_anything_name_only_what_runs(home):
    async def story():
        found = []
        async with opened(home) as (app, pilot):
            for key in MODES:
                await press_and_wait(pilot, key)
                found += app.screen.equivalents().values()
        return found

    for command in asyncio.run(story()):
        parse(command)


def test_what_is_done_is_kept_in_order_and_written_as_a_script_that_runs(filled_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db = database.connect(filled_home.database)
    db.execute("UPDATE study_trial SET state = 'failed', reason = 'made to' WHERE position = 0")
    db.execute("UPDATE study_trial SET state = 'queued' WHERE position = 1")

    async def story():
        async with opened(filled_home, press=["L"]) as (app, pilot):
            assert "Nothing was done yet" in shown(app)
            await press_and_wait(pilot, "escape", "3", "plus")
            await press_and_wait(pilot, "z", "l", "a", "t", "e", "r", "enter", "z")
            await press_and_wait(pilot, "f", "R")
            done = list(app.session.done)
            await press_and_wait(pilot, "L")
            text = shown(app)
            assert "innate worker pause --reason later" in text
            await press_and_wait(pilot, "y")
            assert app.clipboard == script(done, app.session.option)
            await press_and_wait(pilot, "w", "enter")
            await calm(pilot)
            assert isinstance(app.screen, CommandLog)
            assert "wrote innate-session.sh" in shown(app)
        return done

    done = asyncio.run(story())
    commands = [one.command for one in done]
    assert [command.split()[1] for command in commands] == ["priority", "worker", "worker", "retry"]
    assert commands[1:3] == ["innate worker pause --reason later", "innate worker resume"]
    for command in commands:
        parse(command)
    text = (tmp_path / "innate-session.sh").read_text()
    assert subprocess.run(["sh", "-n", "innate-session.sh"], check=False).returncode == 0
    assert f'innate() {{ command innate --home {filled_home.root} "$@"; }}' in text
    assert [line for line in text.splitlines() if line.startswith("innate ")] == commands


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("innate show 12", "innate --home /h show 12"),
        ("innate a && innate b; innate c", "innate --home /h a && innate --home /h b; innate --home /h c"),
        ("innate worker logs | grep innate", "innate --home /h worker logs | grep innate"),
        ("innate run - <<'END'\ninnate = 1\nEND", "innate --home /h run - <<'END'\ninnate = 1\nEND"),
    ],
)
def test_a_command_works_in_the_home_of_the_screens(command, expected):
    assert spelled(command, "--home /h") == expected
    assert spelled(command, "") == command


def test_a_sentence_of_several_lines_stays_a_comment():
    text = script([Done(0.0, "one\ntwo", "innate gc")], "")
    assert text.splitlines()[2].endswith("one two")
    assert text.splitlines()[3] == "innate gc"
