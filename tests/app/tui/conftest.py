"""Screens without a terminal: an app on a copy of a filled home, what it shows as text, and waiting until it is calm."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from textual.widgets import Input

from app.context import Context
from app.tui.app import InnateApp
from app.tui.shell.page import Page
from app.tui.widgets.chart import ChartView
from app.worker import control
from storage.home import Home
from tests.conftest import copy_home, thorough

SMALL, LARGE = (80, 24), (140, 45)
SIZES = thorough([SMALL, LARGE], usually=[SMALL])
"""For what is done; what is shown is tried at both sizes each time."""


def context_for(home, *, read_only=False):
    return Context(home, home.database, read_only, colour=True, quiet=True, verbose=False)


@pytest.fixture
def filled_home(filled, tmp_path):
    """A copy of the home in which the tiny study (8 trials) was run, to change at will; the Lab lists its runs one by one."""
    copy_home(filled, tmp_path / "filled")
    (tmp_path / "filled" / "tui.json").write_text(json.dumps({"lab": {"by": []}}))
    return Home(tmp_path / "filled")


@pytest.fixture
def started(monkeypatch):
    """No worker is really started; what it would have been told."""
    asked = []

    def start(home, slots, crafting, *, succeed=False):
        asked.append((home.root, [slot.device for slot in slots], crafting, succeed))
        return control.Started(4711)

    monkeypatch.setattr(control, "start", start)
    return asked


@contextlib.asynccontextmanager
async def opened(home, size=SMALL, *, read_only=False, press=()):
    """`async with opened(home) as (app, pilot)`: the first screen is loaded, then `press`ed."""
    app = InnateApp(context_for(home, read_only=read_only))
    async with app.run_test(size=size) as pilot:
        await calm(pilot)
        await press_and_wait(pilot, *press)
        yield app, pilot
        assert app.fault is None, app.fault


async def press_and_wait(pilot, *keys):
    """Press keys one by one, each after the screen has come to rest; within a line of text only at its end."""
    for key in keys:
        await pilot.press(key)
        if not isinstance(pilot.app.focused, Input):
            await calm(pilot)
    await calm(pilot)


async def calm(pilot, seconds=90.0):
    """Until nothing is being changed, loaded or drawn."""
    deadline = asyncio.get_running_loop().time() + seconds
    quiet = 0
    while quiet < 3:
        await pilot.pause(0.02)
        app = pilot.app
        busy = (
            app.typeahead.busy
            or app.session.changing
            or app.session.looking
            or any(
                (isinstance(screen, Page) and screen.loading_data)
                or getattr(screen, "works_aside", False)
                or any(chart._busy for chart in screen.query(ChartView))
                for screen in app.screen_stack
            )
        )
        quiet = 0 if busy else quiet + 1
        assert asyncio.get_running_loop().time() < deadline, "the screen does not come to rest"


def shown(app):
    """The screen as lines of text, as a person would see it."""
    width, height = app.size
    lines = [
        "".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips(app.size)
    ]
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)
