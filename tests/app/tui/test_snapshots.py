"""Every screen in its states, at both sizes, as text: compared with tests/screens (INNATE_UPDATE=1 writes them again)."""

import asyncio
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from app.tui.app import InnateApp
from app.tui.shell.threads import Reader
from storage import database, queue, submitting
from storage.home import Home, prepare
from tests import many
from tests.app.tui.conftest import LARGE, SMALL, calm, context_for, opened, press_and_wait, shown
from tests.conftest import copy_home, plan_of, shared, tiny
from tests.storage import stored

SCREENS = Path(__file__).parent.parent.parent / "screens"
MADE_WITH = {"textual": (8, 2), "rich": (15, 0), "plotext": (6, 1)}
"""Older ones draw a border, a table or an axis in other characters."""
OLDER = [
    f"{name} {version(name)}"
    for name, made_with in MADE_WITH.items()
    if tuple(map(int, version(name).split(".")[:2])) < made_with
]
pytestmark = pytest.mark.skipif(bool(OLDER), reason=f"the screens were made with newer ones than {', '.join(OLDER)}")

MODES = {"1": "lab", "2": "compose", "3": "queue", "5": "worker"}
UNSTEADY = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d(,\d+)?)?"), "YYYY-MM-DD hh:mm"),
    (re.compile(r"\d+(\.\d+)? (of \d+(\.\d+)? )?[MG]iB( free)?"), "N MiB"),
]
"""What differs from one machine or minute to the next. The screens are compared line by line with white space folded."""


def three(home, *, failed=False, gone=False):
    """Three runs with results; `failed`: the last of them has failed; `gone`: a worker died over the last."""
    prepare(home)
    db = database.connect(home.database)
    document = tiny(seeds=1, optimizers=["adam"], activations=["relu", "tanh", "silu"])
    submitting.submit(db, plan_of(document, home.cache))
    for seed in range(2 if failed or gone else 3):
        stored.run_one(db, home, seed=seed)
    if failed:
        claim = queue.claim(db)
        queue.fail(
            db, claim.attempt_id, "the loss became NaN or infinite in epoch 1 (adam, lr 0.01)", "Traceback\n  nan"
        )
    if gone:
        queue.claim(db)
    db.conn.close()


def seeds(home):
    """Three seeds of four variants, none of them audited."""
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=3), home.cache))
    for seed in range(12):
        stored.run_one(db, home, seed=seed)
    db.conn.close()


STATES = {
    "empty": lambda home: None,
    "three": three,
    "failed": lambda home: three(home, failed=True),
    "gone": lambda home: three(home, gone=True),
}


@pytest.fixture(scope="module", params=[*STATES, "many"])
def home(request, tmp_path_factory):
    # A fixed path, because screens show it; pytest's own ends in a number of its own.
    place = Home(tmp_path_factory.mktemp(request.param) / "home")
    if request.param == "many":  # ten thousand trials are written once for the whole run
        copy_home(
            shared(tmp_path_factory, "many", lambda folder: many.fill(Home(folder / "home"))) / "home", place.root
        )
    else:
        STATES[request.param](place)
    place.__dict__["label"] = request.param
    return place


def steady(text, home):
    text = text.replace(str(home.root), "HOME")
    for pattern, name in UNSTEADY:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def folded(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def compare(name, text, home):
    path, text = SCREENS / f"{name}.txt", steady(text, home)
    if os.environ.get("INNATE_UPDATE"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is not there; INNATE_UPDATE=1 writes it"
    assert folded(text) == folded(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=lambda size: f"{size[0]}x{size[1]}")
def test_screens(home, size):
    async def story():
        async with opened(home, size) as (app, pilot):
            for key, mode in MODES.items():
                await press_and_wait(pilot, key)
                await pilot.pause(0.3)
                await calm(pilot)
                if mode != "worker":  # its numbers are this machine's
                    compare(f"{mode}-{home.label}-{size[0]}x{size[1]}", shown(app), home)

    asyncio.run(story())


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=lambda size: f"{size[0]}x{size[1]}")
def test_findings(tmp_path, size):
    place = Home(tmp_path / "home")
    seeds(place)

    async def story():
        async with opened(place, size, press=["4"]) as (app, pilot):
            compare(f"findings-seeds-{size[0]}x{size[1]}", shown(app), place)
            await press_and_wait(pilot, "tab", "enter")
            await pilot.pause(0.3)
            await calm(pilot)
            compare(f"findings-pairs-{size[0]}x{size[1]}", shown(app), place)
            await press_and_wait(pilot, "escape", "g", "shift+tab")
            compare(f"findings-heading-{size[0]}x{size[1]}", shown(app), place)

    asyncio.run(story())


@pytest.mark.parametrize("mode", [*MODES.values(), "findings"])
def test_while_the_database_does_not_answer_the_screens_are_there_and_keys_work(mode, tmp_path, monkeypatch):
    async def never(self, question):
        await asyncio.Event().wait()

    monkeypatch.setattr(Reader, "ask", never)
    place = Home(tmp_path / "home")
    three(place)

    async def story():
        app = InnateApp(context_for(place))
        app.session.remembered.screen = mode
        async with app.run_test(size=SMALL) as pilot:
            await pilot.pause(0.3)
            compare(f"{mode}-loading-80x24", shown(app), place)
            await pilot.press("question_mark")
            await pilot.pause(0.2)
            assert "Keys: " in shown(app)
            await pilot.press("escape", "q")

    asyncio.run(story())
