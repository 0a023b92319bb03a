"""What all screens share: keys as data, help, themes, the word about the worker, faults and the end."""

import asyncio
import contextlib
import logging
import re
import time

import pytest
from textual import events
from textual.color import Color
from textual.pilot import WaitForScreenTimeout

from app.report.status import WorkerView
from app.tui.app import InnateApp
from app.tui.shell import themes
from app.tui.shell.help import help_text
from app.tui.shell.keys import EVERYWHERE
from app.tui.shell.page import Page
from app.tui.shell.session import Session, log
from app.tui.shell.steering import worker_line
from app.tui.widgets.dialogs import TextPage
from app.tui.widgets.lines import worker_word
from app.worker import owner
from storage import database, worker_state
from storage.home import Home
from tests.app.tui.conftest import LARGE, SMALL, calm, context_for, opened, press_and_wait, shown

MODES = {"1": "lab", "2": "compose", "3": "queue", "4": "findings", "5": "worker"}


def test_every_key_has_an_action_a_label_and_a_line_of_help(home):
    session = Session(context_for(home))
    for make in InnateApp.PAGES.values():
        page = make()(session)
        for key in page.KEYS:
            name = re.match(r"\w+", key.action).group()
            assert hasattr(page, f"action_{name}"), f"{page.MODE}: {key.action}"
            assert key.label
            assert key.help
        taken = [name for key in (*page.KEYS, *EVERYWHERE) for name in key.keys.split(",")]
        assert len(taken) == len(set(taken)), f"{page.MODE}: a key is given twice"
        assert not {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+q"} & set(taken), "tmux, screen and flow control have these"
        text = help_text(page).plain
        assert all(key.help in text for key in (*page.KEYS, *EVERYWHERE))


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("key", MODES)
def test_each_screen_opens_has_help_that_escape_closes_and_cuts_no_hint(key, size, filled_home):
    async def story():
        async with opened(filled_home, size, press=[key]) as (app, pilot):
            assert MODES[key] == app.screen.MODE
            assert app.focused is None or app.focused.__class__.__name__ not in ("Field", "Input"), (
                "no field has the focus"
            )
            last = shown(app).splitlines()[-1]
            assert last.rstrip().endswith("? help  q quit")
            await press_and_wait(pilot, "question_mark")
            assert isinstance(app.screen, TextPage)
            await press_and_wait(pilot, "escape")
            assert isinstance(app.screen, Page)
            for command in app.screen.equivalents().values():
                assert command.startswith(("innate ", "grep ", "cat ")), command

    asyncio.run(story())


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/optimizer=sgd\r", "4 of 8 runs"),
        ("/optimizer=sgd\rjj b", "; b unpins it"),
        ("/optimizer=zz\x7f\x7fsgd\r", "4 of 8 runs"),
        ("sinnate\rr", "innate▲"),
        ("  x", "Export to"),
        ("\r", "Overview"),
        ("2341/tanh\r", "4 of 8 runs"),
        ("?\x1b/relu\r", "4 of 8 runs"),
    ],
)
def test_keys_that_come_all_at_once_do_what_they_do_one_by_one(typed, expected, filled_home):
    """As a script, a paste or a slow line sends them. Textual alone would give all of them to what has the focus first."""
    names = {"\r": "enter", "\x7f": "backspace", "\x1b": "escape", " ": "space", "/": "slash", "=": "equals_sign",
             "?": "question_mark"}  # fmt: skip

    async def story():
        async with opened(filled_home) as (app, pilot):
            for character in typed:
                app.post_message(events.Key(names.get(character, character), character))
            await calm(pilot)
            await pilot.pause(0.3)
            await calm(pilot)
            assert expected in shown(app)

    asyncio.run(story())


def test_screens_are_switched_by_keys_and_by_mouse_and_the_last_one_is_remembered(filled_home):
    async def story():
        async with opened(filled_home) as (app, pilot):
            for key in "2345142":
                await press_and_wait(pilot, key)
                assert MODES[key] == app.screen.MODE
            await pilot.click("Masthead", offset=(shown(app).splitlines()[0].index("Findings"), 0))
            await calm(pilot)
            assert app.screen.MODE == "findings"
        async with opened(filled_home) as (app, pilot):
            assert app.screen.MODE == "findings"

    asyncio.run(story())


def test_hints_can_be_clicked(filled_home):
    async def story():
        async with opened(filled_home) as (app, pilot):
            await pilot.click("Hints", offset=(shown(app).splitlines()[-1].index("help"), 0))
            await calm(pilot)
            assert isinstance(app.screen, TextPage)

    asyncio.run(story())


def test_themes_go_round_and_are_remembered(filled_home):
    async def story():
        async with opened(filled_home, press=["T"]) as (app, _):
            assert app.theme == themes.LIGHT.name
            assert "theme: innate-light" in shown(app)
        async with opened(filled_home) as (app, pilot):
            assert app.theme == themes.LIGHT.name
            await press_and_wait(pilot, "T", "T")
            assert app.theme == themes.DARK.name

    asyncio.run(story())


@pytest.mark.parametrize("theme", themes.THEMES, ids=lambda theme: theme.name)
def test_every_colour_of_a_theme_can_be_read_on_its_ground(theme):
    """WCAG's contrast of 4.5 for text; signs and words in accent colours at least 3."""

    def luminance(colour):
        return sum(
            share * (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4)
            for share, part in zip((0.2126, 0.7152, 0.0722), Color.parse(colour).normalized, strict=True)
        )

    def contrast(one, other):
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    for ground in (theme.background, theme.surface, theme.panel):
        assert contrast(theme.foreground, ground) >= 4.5
        for colour in (theme.primary, theme.accent, theme.success, theme.warning, theme.error):
            assert contrast(colour, ground) >= 3.0, (colour, ground)
    assert contrast(theme.background, theme.primary) >= 4.5, "the cursor's bar"


def test_the_worker_is_told_in_a_word(filled_home):
    async def story():
        db = database.connect(filled_home.database)
        async with opened(filled_home) as (app, pilot):
            assert "○ no worker" in shown(app)
            ownership = owner.acquire(filled_home, owner.DETACHED)
            beat = worker_state.WorkerState(owner.DETACHED, time.time(), "idle", None, None, (), 0)
            worker_state.beat(db, beat, [])
            app.look()
            await calm(pilot)
            assert "● idle" in shown(app)
            db.execute("UPDATE worker SET beat_mark = beat_mark - 60")
            app.look()
            await calm(pilot)
            assert "● silent" in shown(app)
            ownership.release()
            db.execute("UPDATE study_trial SET state = 'queued'")
            app.look()
            await calm(pilot)
            assert "○ no worker, 8 to do" in shown(app)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("state", "paused", "word"),
    [
        ("working", None, "working"),
        ("working", "lunch", "pausing"),
        ("paused", "lunch", "paused"),
        ("idle", "lunch", "paused"),
        ("paused", None, "resuming"),
        ("draining", "lunch", "draining"),
    ],
)
def test_what_the_worker_said_last_is_never_told_against_the_queue(state, paused, word):
    view = WorkerView(True, state, None, pid=7)
    assert worker_word(view, 0, paused=paused is not None)[0] == f"● {word}"
    line = worker_line(view, paused, {"start": "w", "pause": "z"}.__getitem__).plain
    assert line.startswith(f"● worker 7 is {word}")
    assert ("lunch; z resumes" in line) == (word in ("pausing", "paused"))


def test_a_fault_of_ours_is_a_sentence_and_the_log_has_the_traceback(filled_home, monkeypatch):
    from app.tui.lab.screen import LabScreen

    def broken(self, db, question):
        raise ZeroDivisionError("division by zero")

    records = []
    handler = logging.Handler()
    handler.emit = records.append
    log.addHandler(handler)
    monkeypatch.setattr(LabScreen, "load", broken)

    async def story():
        async with opened(filled_home) as (app, pilot):
            assert "that went wrong inside innate (ZeroDivisionError" in shown(app)
            assert "Traceback" not in shown(app)
            await press_and_wait(pilot, "j", "3")
            assert app.screen.MODE == "queue", "everything else goes on"

    try:
        asyncio.run(story())
    finally:
        log.removeHandler(handler)
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in records)


def test_a_fault_in_the_loop_ends_the_screens_without_a_traceback(filled_home, monkeypatch, capsys):
    from app.tui.lab.screen import LabScreen

    monkeypatch.setattr(LabScreen, "action_unmark", lambda self: 1 / 0)

    async def story():
        app = InnateApp(context_for(filled_home))
        with contextlib.suppress(WaitForScreenTimeout):  # nobody answers the pilot any more
            async with app.run_test(size=SMALL) as pilot:
                await calm(pilot)
                app.post_message(events.Key("u", "u"))
                await asyncio.sleep(0.5)
        return app

    app = asyncio.run(story())
    assert isinstance(app.fault, ZeroDivisionError)
    assert "Traceback" not in capsys.readouterr().err


def test_a_database_that_is_none_is_told_in_a_sentence(tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.database.write_text("these are my notes, not a database" * 50)

    async def story():
        async with opened(home) as (app, _):
            # The path may be longer than a line.
            assert "isnotasoundSQLitedatabase" in "".join(shown(app).split())

    asyncio.run(story())
    assert home.database.read_text().startswith("these are my notes")


def test_a_database_that_appears_is_seen(filled_home, tmp_path):
    async def story():
        place = Home(tmp_path / "new")
        async with opened(place) as (app, pilot):
            assert "Nothing has been run" in shown(app)
            place.root.mkdir()
            (place.root / "innate.db").write_bytes(filled_home.database.read_bytes())
            app.look()
            await calm(pilot)
            assert "4/4 variants" in shown(app)

    asyncio.run(story())


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_leaving_is_exit_code_0_and_asks_nothing(key, filled_home):
    async def story():
        app = InnateApp(context_for(filled_home))
        async with app.run_test(size=SMALL) as pilot:
            await calm(pilot)
            await pilot.press(key)
            await pilot.pause(0.1)
            assert not app.is_running or app._exit
        return app.return_code

    assert asyncio.run(story()) in (0, None)


@pytest.mark.parametrize(
    ("alive", "waiting", "told"),
    [
        (True, {"queued": 3, "running": 2}, "the worker (pid 7) goes on with 5 trials"),
        (False, {"queued": 3}, "3 trials wait and no worker is running: innate worker start"),
        (True, {}, ""),
    ],
)
def test_leaving_says_that_the_worker_goes_on(alive, waiting, told, tmp_path, monkeypatch, capsys):
    from app.context import Context
    from app.tui import app as module

    def left_at_once(self):
        self.session.worker = WorkerView(alive, "working" if alive else "none", None, pid=7)
        self.session.unfinished = waiting

    monkeypatch.setattr(InnateApp, "run", left_at_once)
    home = Home(tmp_path / "home")
    assert module.run(Context(home, home.database, False, colour=True, quiet=False, verbose=False)) == 0
    said = capsys.readouterr().err
    assert told in said
    assert bool(said) is bool(told)
