"""Findings: every key of it, on a small and on a large screen."""

import asyncio
import json

import pytest
from textual.widgets import Input

from app.tui.findings.pane import EvidencePane
from app.tui.findings.screen import FindingsScreen
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Confirm, Picker
from app.worker import control
from storage import database, queries, studies
from storage.home import Home, prepare
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import copy_home, innate_command, plan_of, tiny
from tests.storage import stored


def add(db, home, **changes):
    """The tiny study with some keys changed, all done."""
    studies.submit(db, plan_of(tiny(**changes), home.cache))
    seed = 0
    while stored.run_one(db, home, changes.get("name"), seed=seed):
        seed += 1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two studies: three seeds of four variants, and one of one seed."""
    home = Home(tmp_path_factory.mktemp("findings") / "home")
    prepare(home)
    db = database.connect(home.database)
    add(db, home, name="single", seeds=1)
    add(db, home, name="tiny", seeds=3)
    db.conn.close()
    return home.root


@pytest.fixture
def place(made, tmp_path):
    copy_home(made, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def started(monkeypatch):
    """No worker is really started."""
    asked = []

    def start(home, slots, crafting, *, succeed=False):
        asked.append(home.root)
        return control.Started(4711)

    monkeypatch.setattr(control, "start", start)
    return asked


def play(home, story, size=SMALL, **options):
    async def run():
        async with opened(home, size, **options) as (app, pilot):
            await press_and_wait(pilot, "4")
            assert isinstance(app.screen, FindingsScreen)
            await story(app, pilot)

    asyncio.run(run())


async def until(pilot, true, seconds=60.0):
    for _ in range(int(seconds / 0.05)):
        if true():
            return
        await pilot.pause(0.05)
    raise AssertionError(f"it did not come to pass:\n{shown(pilot.app)}")


async def pick(app, pilot, text):
    """Narrow the list in front by `text` and take the first."""
    assert isinstance(app.screen, Picker)
    app.screen.query_one(Input).value = text
    await press_and_wait(pilot, "enter")


async def go_to(app, pilot, key):
    """Put the cursor on a finding, or on a heading."""
    await press_and_wait(pilot, "g")
    for _ in range(30):
        if app.screen.listed.current.key == key:
            return
        await press_and_wait(pilot, "j")
    raise AssertionError(f"{key} is not listed")
