"""Compose: every key of it, the outlook, mistakes at their place, what it starts from, saving and submitting."""

import asyncio
import contextlib
import functools
import json
import re
import sys
import threading
import tomllib

import numpy as np
import pytest
from PIL import Image

from app.report.toml import toml_text
from app.tui.compose import download as compose_download
from app.tui.compose import draft
from app.tui.compose import screen as compose_screen
from app.tui.compose.screen import ComposeScreen
from app.tui.widgets.dialogs import Confirm, Picker, Prompt, TextPage
from app.worker import control, login, timing
from app.worker.loop import Stop
from app.worker.timing import Timings
from core import datasets
from core.errors import Unavailable
from core.events import AttackTimed, NotTimed, TrainingTimed
from core.study.presets import preset_text
from core.study.resolve import parse_toml
from storage import database, queue
from storage.home import Home
from storage.studies import document as stored_document
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, shown
from tests.conftest import TINY


def story(test):
    """An async test, run to its end."""

    @functools.wraps(test)
    def run(*arguments, **options):
        asyncio.run(test(*arguments, **options))

    return run


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """The outlook does not wait for further changes."""
    monkeypatch.setattr(compose_screen, "_DELAY", 0.01)


@contextlib.asynccontextmanager
async def composing(home, size=SMALL, *, read_only=False, start=None):
    """The screen with the draft `start` (the usual first one if None)."""
    if start is not None:
        home.root.mkdir(parents=True, exist_ok=True)
        (home.root / "tui.json").write_text(json.dumps({"draft": start}))
    async with opened(home, size, read_only=read_only, press=["2"]) as (app, pilot):
        await settled(pilot)
        yield app, pilot


async def settled(pilot):
    """Until the outlook is of the draft as it stands, or the draft is wrong."""
    for _ in range(200):
        await pilot.pause(0.02)
        screen = next((page for page in pilot.app.screen_stack if isinstance(page, ComposeScreen)), None)
        if screen is None or screen.model.own_mistakes or (screen.model.outlook is not None and not screen._loading):
            break
    else:
        raise AssertionError("no outlook comes")
    await pilot.pause()


async def press(pilot, *keys):
    await pilot.press(*keys)
    await settled(pilot)


async def go(pilot, part):
    """To a part, the cursor on the right."""
    screen = pilot.app.screen
    screen.panes.parts.focus()
    screen.panes.parts.move_to(screen.panes.parts.keys.index(part))
    await pilot.pause()
    await press(pilot, "l")


async def to(pilot, key):
    """The cursor to a choice or a value."""
    choices = pilot.app.screen.panes.choices
    choices.move_to(choices.keys.index(key))
    await pilot.pause()


async def typed(pilot, text):
    """Into the prompt, in place of what stands there."""
    pilot.app.screen.query_one("Field").value = text
    await pilot.pause()
    await pilot.pause()


async def until(pilot, what, seconds=90.0):
    for _ in range(int(seconds / 0.05)):
        if what():
            return
        await pilot.pause(0.05)
    raise AssertionError(f"it does not happen:\n{shown(pilot.app)}")


def small(**changes):
    """A draft whose trials are those of the tiny study."""
    return {**TINY, **changes}


# --- measuring ---


def timings_of(lacking):
    """As if each training image took 10 ms and each test image 20."""
    return Timings(
        tuple(TrainingTimed(trial, 0.01, 4) for trial in lacking.trainings),
        tuple(AttackTimed(trial, attack, 0.02, 32) for trial, attack in lacking.attacks),
        rooms=2,
    )


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_m_measures_what_was_never_run_for_a_forecast(filled_home, monkeypatch, size):
    asked = []

    def measure(home, plan, lacking, slots, stop, shown):
        asked.append((len(lacking), slots[0].device))
        shown(2)
        return timings_of(lacking)

    monkeypatch.setattr(timing, "measure", measure)
    async with composing(filled_home, size) as (app, pilot):
        assert "no forecast yet: m measures a few batches" in shown(app)
        await press(pilot, "m")
        await calm(pilot)
        text = shown(app)
        assert "± 50 %, measured on 4 batches" in text
        assert "measured; a run will tell more" in text
        assert app.screen.equivalents()["measure"].startswith("innate plan - --measure")
        await press(pilot, "m")
        await calm(pilot)
        assert len(asked) == 2, "from a few batches again, since no run has told more"
    assert asked[0][0] == 3


@story
async def test_m_again_or_submitting_stops_it_and_a_failure_is_told(filled_home, monkeypatch):
    began, level = threading.Event(), []

    def measure(home, plan, lacking, slots, stop, shown):
        began.set()
        while stop() is Stop.NO:
            threading.Event().wait(0.01)
        level.append(stop())
        return

    monkeypatch.setattr(timing, "measure", measure)
    async with composing(filled_home) as (app, pilot):
        await pilot.press("m")
        await until(pilot, began.is_set)
        assert app.screen.works_aside
        assert "m stops" in shown(app)
        await press(pilot, "m")
        await calm(pilot)
        assert "stopped measuring" in shown(app)
        began.clear()
        await pilot.press("m")
        await until(pilot, began.is_set)
        await pilot.press("S")
        await calm(pilot)
        assert len(level) == 2
        await press(pilot, "n")

        def fails(home, plan, lacking, slots, stop, shown):
            whole = timings_of(lacking)
            failed = (NotTimed(*lacking.attacks[0], "took more than 10 s"),)
            return Timings(whole.trainings, whole.attacks[1:], failed, 2)

        monkeypatch.setattr(timing, "measure", fails)
        await press(pilot, "m")
        await calm(pilot)
        text = shown(app)
        assert "1 of 3 could not be measured: kumar-cnn, fgsm: took more than 10 s" in text
        assert "no forecast: kumar-cnn, fgsm" in text


@story
async def test_m_has_nothing_to_measure_of_what_was_run_and_of_data_that_is_not_here(filled_home):
    async with composing(filled_home, start=small(name="known", seeds=3)) as (app, pilot):
        await press(pilot, "m")
        assert "nothing to measure" in shown(app)
    start = {**small(name="far"), "dataset": "cifar10", "architectures": ["simplenet"]}
    async with composing(filled_home, start=start) as (app, pilot):
        await press(pilot, "m")
        assert "nothing can be measured: data set cifar10" in shown(app)


# --- looking ---


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_it_opens_with_a_small_study_its_parts_and_what_it_costs(filled_home, size):
    async with composing(filled_home, size) as (app, _):
        text = shown(app)
        for part in draft.PARTS:
            assert part.title in text
        assert "adam, rmsprop, ada" in text
        assert "12 trials: all new · 24 evaluations" in text
        assert "no forecast yet" in text
        assert app.focused is app.screen.panes.parts
        assert ('name = "my-study"' in text) == (size == LARGE), "the study file stands beside it where there is room"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@story
async def test_every_part_shows_its_choices_or_values_and_what_they_are(filled_home, size):
    async with composing(filled_home, size) as (app, pilot):
        for part in draft.PARTS:
            await go(pilot, part.name)
            text = shown(app)
            if part.registry is not None:
                assert all(name in app.screen.panes.choices.keys[place] for place, name in enumerate(part.registry))
                entry = part.registry[app.screen.panes.choices.key[0]]
                assert entry.summary.split()[0] in text
                assert entry.source.split()[0] in text
            else:
                assert "edits it" in text
        assert "…" not in shown(app).splitlines()[-2]


@story
async def test_moving_between_the_panes_and_into_options(filled_home):
    async with composing(filled_home) as (app, pilot):
        screen = app.screen
        await press(pilot, "j", "j", "j", "k")
        assert screen.model.part.name == "architectures"
        await press(pilot, "tab")
        assert app.focused is screen.panes.choices
        await press(pilot, "tab")
        assert app.focused is screen.panes.parts
        await press(pilot, "right", "right")
        assert "kumar-cnn  options" in shown(app)
        assert "dropout" in shown(app)
        await press(pilot, "left")
        assert "architectures" in shown(app).splitlines()[1]
        await press(pilot, "h")
        assert app.focused is screen.panes.parts
        await press(pilot, "enter", "o", "escape", "escape")
        assert app.focused is screen.panes.parts
        await press(pilot, "G")
        assert screen.model.part.name == "score"
        await press(pilot, "g", "pagedown", "home", "end", "pageup", "down", "up")
        assert screen.panes.parts.cursor == 0


@story
async def test_the_cursor_comes_back_to_where_it_was(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "activations")
        assert app.screen.panes.choices.key == ("relu", 0), "at first on what is chosen"
        await to(pilot, ("silu", None))
        await press(pilot, "h", "j", "k", "l")
        assert app.screen.panes.choices.key == ("silu", None)


@story
async def test_the_mouse_moves_ticks_and_opens(filled_home):
    async with composing(filled_home) as (app, pilot):
        await pilot.click("#parts", offset=(4, 4))
        assert app.screen.model.part.name == "optimizers"
        await pilot.click("#choices", offset=(1, 1))
        await settled(pilot)
        assert "adadelta" in draft.items(app.screen.model.document, "optimizers")
        await pilot.click("#choices", offset=(8, 0), times=2)
        await settled(pilot)
        assert "adam  options" in shown(app)
        await pilot.click("#choices", offset=(8, 1), times=2)
        await pilot.pause()
        assert isinstance(app.screen, Prompt)


@story
async def test_another_size_of_the_terminal_is_filled_anew(filled_home):
    async with composing(filled_home) as (app, pilot):
        await pilot.resize_terminal(140, 45)
        await settled(pilot)
        assert "adam, rmsprop, adamax, nadam" in shown(app)
        assert "[[attacks]]" in shown(app)
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert "[[attacks]]" not in shown(app)


# --- choosing ---


@story
async def test_space_ticks_and_unticks_and_the_count_follows(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "optimizers")
        await to(pilot, ("sgd", None))
        await press(pilot, "space")
        assert "[x] sgd" in shown(app)
        assert "15 trials" in shown(app)
        await press(pilot, "space")
        assert "[ ] sgd" in shown(app)
        assert "12 trials" in shown(app)
        await to(pilot, ("adam", 0))
        await press(pilot, "minus")
        assert "9 trials" in shown(app)
        await press(pilot, "u")
        assert "12 trials" in shown(app)


@story
async def test_another_copy_with_other_options(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "optimizers")
        await press(pilot, "plus")
        text = shown(app)
        assert "adam  options" in text
        assert "✗ optimizers[1]: adam is the same as optimizers[0]; name each once" in text
        assert "✗ optimizers" in text.splitlines()[5]
        await press(pilot, "u")
        assert "[x] rmsprop" in shown(app), "its options are gone with it"
        await press(pilot, "plus", "enter")
        assert isinstance(app.screen, Prompt)
        assert "optimizers[1].lr" in shown(app)
        await typed(pilot, "0")
        assert "0.0 is out of range, it must be above 0" in shown(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, Prompt), "a bad value is not accepted"
        await typed(pilot, "5e-3")
        await press(pilot, "enter", "h")
        text = shown(app)
        assert "[x] adam lr=0.005" in text
        assert "15 trials" in text
        assert app.screen.model.document["optimizers"][:2] == ["adam", {"name": "adam", "lr": 0.005}]
        await press(pilot, "space")
        assert app.screen.model.document["optimizers"][:2] == ["adam", "rmsprop"], "this copy is dropped, not the other"
        await go(pilot, "activations")
        await press(pilot, "plus")
        assert "relu has no options, so once more would be the same" in shown(app)
        await press(pilot, "o")
        assert "relu has no options" in shown(app)
        await to(pilot, ("silu", None))
        await press(pilot, "plus")
        assert "silu" in app.screen.model.document["activations"]


@story
async def test_enter_takes_nothing_that_is_not_taken_and_opens_the_options_of_what_is(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "defenses")
        await to(pilot, ("pgd-at", None))
        before = app.screen.model.document
        await press(pilot, "enter")
        assert app.screen.model.document == before
        assert "pgd-at is not taken: space takes it" in shown(app)
        await press(pilot, "space", "enter")
        assert "pgd-at  options" in shown(app)
        await to(pilot, ("defenses", 1, "random_start"))
        await press(pilot, "enter")
        assert app.screen.model.document["defenses"] == ["none", {"name": "pgd-at", "random_start": False}]
        await press(pilot, "space")
        assert app.screen.model.document["defenses"] == ["none", "pgd-at"], "the default again"


@story
async def test_an_attack_that_finds_its_own_radius_is_given_none(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "attacks")
        await to(pilot, ("fmn", None))
        await press(pilot, "space", "o")
        assert app.screen.model.document["attacks"][2] == {"name": "fmn"}
        assert " eps " not in shown(app)
        await to(pilot, ("attacks", 2, "norm"))
        await press(pilot, "enter")
        await press(pilot, *"linf", "enter")
        assert app.screen.model.document["attacks"][2] == {"name": "fmn", "norm": "linf"}
        await press(pilot, "h")
        assert "ℓ∞ least distance · 100 steps" in shown(app)


@story
async def test_an_attacks_norm_radii_and_steps_are_seen_and_changed(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "attacks")
        assert re.search(r"\[x\] pgd +ℓ∞ ε 0.05 0.1 0.15 · 10 steps", shown(app))
        await to(pilot, ("bim", None))
        await press(pilot, "space", "o")
        assert app.screen.model.document["attacks"][2] == {"name": "bim", "eps": [0.05, 0.1, 0.15]}
        await to(pilot, ("attacks", 2, "norm"))
        await press(pilot, "enter")
        assert isinstance(app.screen, Picker)
        await press(pilot, *"l2", "enter")
        await to(pilot, ("attacks", 2, "eps"))
        await press(pilot, "enter")
        assert "0.5, 1, 2" in shown(app)
        await typed(pilot, "0.5, 0.5")
        assert "0.5 is named twice" in shown(app)
        await typed(pilot, "0.5, 300/255")
        await press(pilot, "enter", "h")
        assert app.screen.model.document["attacks"][2] == {"name": "bim", "norm": "l2", "eps": [0.5, "300/255"]}
        assert "ℓ2 ε 0.5 300/255 · 10 steps" in shown(app)
        await press(pilot, "minus")
        assert len(app.screen.model.document["attacks"]) == 2


@story
async def test_search_within_an_axis(filled_home):
    async with composing(filled_home) as (app, pilot):
        await press(pilot, "slash")
        assert "/ searches within an axis" in shown(app)
        await go(pilot, "optimizers")
        await press(pilot, "slash", *"kingma")
        assert [name for name, _ in app.screen.panes.choices.keys] == ["adam", "adamax"]
        await press(pilot, "enter", "space")
        assert app.focused is app.screen.panes.choices
        assert "adam" not in app.screen.model.document["optimizers"]
        await press(pilot, "slash", *" nothing")
        assert "No choice here has" in shown(app)
        await press(pilot, "escape")
        assert len(app.screen.panes.choices.keys) > 10


@story
async def test_a_data_set_of_ones_own_asks_for_its_path(filled_home, tmp_path):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "dataset")
        await press(pilot, "space")
        assert "a study has one data set" in shown(app)
        await to(pilot, ("digits", None))
        await press(pilot, "enter")
        assert app.screen.model.document["dataset"] == "digits"
        await to(pilot, ("npz", None))
        await press(pilot, "space")
        await typed(pilot, str(tmp_path / "none.npz"))
        assert "there is no file" in shown(app)
        (tmp_path / "bad.npz").write_bytes(b"no arrays")
        await typed(pilot, str(tmp_path / "bad.npz"))
        await press(pilot, "enter")
        assert app.screen.model.document["dataset"] == f"npz:{tmp_path / 'bad.npz'}"
        assert "✗" in shown(app).splitlines()[2], "the part is marked with what its data say"
        await to(pilot, ("folder", None))
        await press(pilot, "enter")
        await typed(pilot, str(tmp_path / "nowhere"))
        assert "there is no folder" in shown(app)


@story
async def test_the_options_of_a_folder_are_edited_and_saved(filled_home, tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (30, 20 + number, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    place = str(tmp_path / "pets")
    async with composing(filled_home, LARGE, start={**draft.first(), "test_samples": 8}) as (app, pilot):
        await go(pilot, "dataset")
        await to(pilot, ("folder", None))
        await press(pilot, "enter")
        await typed(pilot, place)
        await press(pilot, "enter")
        assert app.screen.model.document["dataset"] == f"folder:{place}"
        assert app.screen.model.mistakes["dataset"].concerns("dataset.split")
        await press(pilot, "enter")  # the options, the first of which is the path
        assert [setting.name for setting in app.screen.model.settings] == [
            "folder", "size", "fit", "split", "classes", "background", "depth",
        ]  # fmt: skip
        await to(pilot, ("dataset", "split"))
        await press(pilot, "enter")
        await typed(pilot, "2")
        assert "it must be above 0 and below 1" in shown(app)
        await typed(pilot, "0.25")
        await press(pilot, "enter")
        assert app.screen.model.mistakes["dataset"].concerns("dataset.size")
        await to(pilot, ("dataset", "size"))
        await press(pilot, "enter")
        await typed(pilot, "16 x 24")
        await press(pilot, "enter")
        assert app.screen.model.mistakes == {}
        await to(pilot, ("dataset", "fit"))
        await press(pilot, "enter")
        await press(pilot, "down", "enter")
        wanted = {"folder": place, "split": 0.25, "size": [16, 24], "fit": "pad"}
        assert app.screen.model.document["dataset"] == wanted
        assert tomllib.loads(toml_text(app.screen.model.document))["dataset"] == wanted
        assert "folder:pets@16x24" in shown(app)
        await press(pilot, "escape")
        assert "divided here: 30 pictures to train on, 10 to test" in shown(app)
        await press(pilot, "enter")
        await to(pilot, ("dataset", "fit"))
        await press(pilot, "minus")
        assert "fit" not in app.screen.model.document["dataset"]
        await to(pilot, ("dataset", "folder"))
        await press(pilot, "minus")
        assert app.screen.model.document["dataset"]["folder"] == place
        await press(pilot, "enter")
        await typed(pilot, str(tmp_path))
        await press(pilot, "enter")
        assert app.screen.model.document["dataset"]["size"] == [16, 24], "another folder, read as the one before"
        assert app.screen.model.document["dataset"]["folder"] == str(tmp_path)


# --- values ---


@story
async def test_values_are_validated_as_one_types_and_go_back_to_their_default(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "training")
        await press(pilot, "enter")
        for text, words in (("x", "expected a whole number, got 'x'"), ("0", "it must be at least 1")):
            await typed(pilot, text)
            assert words in shown(app)
        await typed(pilot, "7")
        await press(pilot, "enter")
        assert app.screen.model.document["training"]["epochs"] == 7
        assert "7 epochs" in shown(app)
        await press(pilot, "minus")
        assert "epochs" not in app.screen.model.document["training"]
        await to(pilot, ("training", "schedule"))
        await press(pilot, "enter", *"step", "enter")
        assert app.screen.model.document["training"]["schedule"] == {"name": "step", "at": [2], "lr": [1e-4]}
        await to(pilot, ("training", "schedule", "at"))
        await press(pilot, "enter")
        await typed(pilot, "2, 4")
        await press(pilot, "enter")
        assert "step needs `at` and `lr`, lists of equal length" in shown(app)
        await go(pilot, "seeds")
        await press(pilot, "u", "u", "minus", "u")
        await go(pilot, "score")
        await press(pilot, "enter", "escape")
        assert "score" not in app.screen.model.document


@pytest.mark.parametrize("size", SIZES)
@story
async def test_what_a_seed_moves_is_picked_and_needs_a_training_subset(size, filled_home):
    start = small()
    del start["train_samples"]
    async with composing(filled_home, size, start=start) as (app, pilot):
        await go(pilot, "seeds")
        await to(pilot, ("vary",))
        assert "seed or seed, train_subset; default: seed" in shown(app)
        await press(pilot, "enter", *"subset", "enter")
        assert app.screen.model.document["vary"] == ["seed", "train_subset"]
        assert "✗ vary: train_subset moves nothing where all training samples" in shown(app)
        await to(pilot, ("train_samples",))
        await press(pilot, "enter")
        await typed(pilot, "1437")
        await press(pilot, "enter")
        assert "✗ vary: train_subset moves nothing" in shown(app), "all of digits"
        await press(pilot, "enter")
        await typed(pilot, "300")
        await press(pilot, "enter")
        assert "✗" not in shown(app)
        assert "2 seeds, 300 train ea" in shown(app)
        assert "drawn by each seed" in shown(app)
        assert "8 trials: all new" in shown(app)
        await to(pilot, ("vary",))
        await press(pilot, "minus")
        assert "8 cached" in shown(app), "the trials of the tiny study"


@story
async def test_what_only_the_data_can_tell_is_told_at_the_field(filled_home):
    async with composing(filled_home, start=small(test_samples=999)) as (app, pilot):
        assert "✗ test_samples: 999 asked for, but digits has 360" in shown(app)
        await go(pilot, "seeds")
        await to(pilot, ("test_samples",))
        assert shown(app).count("999 asked for") == 2, "in the line and at the field"
        await press(pilot, "S")
        assert "mend this first: test_samples" in shown(app)


@story
async def test_submitting_a_mistake_leads_to_it(filled_home):
    async with composing(filled_home, start=small(optimizers=[])) as (app, pilot):
        text = shown(app)
        assert "✗ optimizers is empty: name at least one" in text
        await press(pilot, "S")
        assert "mend this first" in shown(app)
        assert app.screen.model.part.name == "optimizers"


@story
async def test_several_mistakes_are_all_named(filled_home):
    start = small(optimizers=["adamm"], activations=[], training={"epochs": 0})
    async with composing(filled_home, start=start) as (app, pilot):
        assert "also wrong: activations, training" in shown(app)
        await go(pilot, "optimizers")
        assert "no such optimizer" in shown(app).replace("\n", " ") or "adamm" in shown(app)
        await to(pilot, ("adamm", 0))
        assert "did you mean 'adam'?" in shown(app)
        await press(pilot, "minus")
        assert app.screen.model.document["optimizers"] == []


# --- the outlook ---


@story
async def test_the_outlook_tells_new_cached_and_failed_and_the_time(filled_home):
    db = database.connect(filled_home.database)
    trial = db.execute("SELECT id FROM trial LIMIT 1").fetchone()[0]
    db.execute("UPDATE trial SET train_seconds = 0.05")  # whatever else the machine did when they were trained
    db.execute("UPDATE evaluation SET seconds = 0.02")
    start = small(name="other", seeds=3)
    async with composing(filled_home, start=start) as (app, pilot):
        assert "12 trials: 4 new, 8 cached · 24 evaluations, 8 missing · about 0" in shown(app)
        db.execute("UPDATE trial SET failure = 'it burst' WHERE id = ?", (trial,))
        await until(pilot, lambda: "4 new, 7 cached, 1 failed" in shown(app))
        await go(pilot, "name")
        await press(pilot, "enter")
        await typed(pilot, "tiny")
        await press(pilot, "enter")
        assert "changes the study tiny" in shown(app)
        await go(pilot, "activations")
        await press(pilot, "minus")
        assert "changes the study tiny: 4 runs leave it, but stay here" in shown(app)


@story
async def test_a_study_that_is_all_there_has_nothing_to_do(filled_home):
    async with composing(filled_home, start=small()) as (app, _):
        text = shown(app)
        assert "8 trials: 8 cached · 16 evaluations, 0 missing · nothing to do" in text
        assert "changes the study" not in text


@story
async def test_a_data_set_that_is_not_here_can_be_composed_with(filled_home):
    async with composing(filled_home) as (app, pilot):
        await go(pilot, "dataset")
        await to(pilot, ("cifar10", None))
        await press(pilot, "space")
        text = shown(app)
        assert "12 trials: all new" in text
        assert "cifar10 is not here yet: S downloads it" in text
        assert "data set cifar10:" in text, "and which file is wanted where"


@story
async def test_a_grid_too_large_is_counted_and_asked_about(filled_home):
    async with composing(filled_home, start=small(seeds=3000)) as (app, pilot):
        assert "12,000 trials: more than 10,000, so S asks first" in shown(app)
        await press(pilot, "S")
        assert isinstance(app.screen, Confirm)
        assert "12,000 trials. Are that many meant?" in shown(app)
        await press(pilot, "n")
        assert isinstance(app.screen, ComposeScreen)


# --- where it comes from, where it goes ---


@story
async def test_the_draft_is_there_the_next_time_whatever_state_it_is_in(filled_home):
    async with composing(filled_home) as (_, pilot):
        await go(pilot, "optimizers")
        await press(pilot, "space", "n")
    kept = json.loads((filled_home.root / "tui.json").read_text())["draft"]
    assert kept == draft.empty()
    async with composing(filled_home) as (app, _):
        assert "optimizers is empty" in shown(app) or "architectures is empty" in shown(app)
    async with composing(filled_home, start={"optimizers": 3}) as (app, _):
        assert "12 trials" in shown(app), "what is no draft is forgotten"


@story
async def test_new_can_be_taken_back(filled_home):
    async with composing(filled_home) as (app, pilot):
        await press(pilot, "u")
        assert "nothing to take back" in shown(app)
        await press(pilot, "n")
        assert "none chosen" in shown(app)
        await press(pilot, "u")
        assert app.screen.model.document == draft.first()


@story
async def test_it_starts_from_a_preset_an_earlier_study_or_a_file(filled_home, tmp_path):
    async with composing(filled_home) as (app, pilot):
        await press(pilot, "p")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await press(pilot, *"compat", "enter")
        await settled(pilot)
        assert app.screen.model.document == parse_toml(preset_text("paper-compat"), "it")
        assert "120 trials" in shown(app)
        await press(pilot, "e")
        assert "innate run paper-compat --detach" in shown(app)
        await press(pilot, "escape", "p")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await press(pilot, *"tiny", "enter")
        await until(pilot, lambda: app.screen.model.document["name"] == "tiny")
        await settled(pilot)
        assert app.screen.model.document == TINY
        assert "give it another name" in shown(app)
        (tmp_path / "mine.toml").write_text(preset_text("quick").replace('"quick"', '"mine"'))
        await press(pilot, "p")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await press(pilot, *"a study file", "enter")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await typed(pilot, str(tmp_path / "none.toml"))
        assert "there is no file" in shown(app)
        await typed(pilot, str(tmp_path / "mine.toml"))
        await press(pilot, "enter")
        assert app.screen.model.document["name"] == "mine"


@story
async def test_it_is_seen_and_saved_as_toml_and_overwrites_only_if_told_to(filled_home, tmp_path):
    path = tmp_path / "my.toml"
    async with composing(filled_home) as (app, pilot):
        await press(pilot, "t")
        assert isinstance(app.screen, TextPage)
        assert 'optimizers = ["adam"' in shown(app)
        await press(pilot, "escape", "w")
        assert isinstance(app.screen, Prompt)
        for text, words in (
            (str(tmp_path / "my.txt"), "name it .toml"),
            (str(tmp_path / "no" / "my.toml"), "there is no folder"),
        ):
            await typed(pilot, text)
            assert words in shown(app)
        await typed(pilot, str(path))
        await press(pilot, "enter")
        await until(pilot, path.exists)
        assert tomllib.loads(path.read_text()) == draft.first()
        await until(pilot, lambda: "saved   ≡ cat >" in shown(app))
        await go(pilot, "optimizers")
        await press(pilot, "space", "w")
        await typed(pilot, str(path))
        await press(pilot, "enter")
        assert isinstance(app.screen, Confirm)
        await press(pilot, "n")
        assert tomllib.loads(path.read_text()) == draft.first()
        await press(pilot, "w", "enter", "y")
        await until(pilot, lambda: tomllib.loads(path.read_text()) == app.screen.model.document)


@story
async def test_every_action_shows_its_command(filled_home):
    async with composing(filled_home, LARGE) as (app, pilot):
        await go(pilot, "training")
        await press(pilot, "e")
        text = app.screen._content.plain
        assert "innate plan - <<'END'" in text
        assert "innate run - --detach <<'END'" in text
        assert "innate init study.toml --from quick" in text


# --- submitting ---


@pytest.mark.parametrize("size", SIZES)
@story
async def test_submitting_queues_what_is_missing_sees_to_a_worker_and_shows_the_queue(filled_home, started, size):
    async with composing(filled_home, size, start=small(name="wider", seeds=3)) as (app, pilot):
        await press(pilot, "S")
        assert isinstance(app.screen, Confirm)
        assert "Submit wider?" in shown(app)
        assert "No worker is running: one is started" in shown(app)
        await press(pilot, "n")
        assert not started
        await press(pilot, "S", "y")
        await until(pilot, lambda: app.current_mode == "queue")
        await until(pilot, lambda: "wider: 4 trials queued; worker started" in shown(app))
        assert "≡ innate run - --de" in shown(app)
        await press(pilot, "2")
        await until(pilot, lambda: "wider: 4 trials queued" in shown(app) and "submitting" not in shown(app))
    assert started == [(filled_home.root, started[0][1], "auto", True)]
    db = database.connect(filled_home.database)
    assert stored_document(db, "wider") == small(name="wider", seeds=3)
    assert queue.remaining(db, "wider")["queued"] == 4


@story
async def test_a_fresh_home_is_made_by_submitting_and_not_before(tmp_path, started):
    home = Home(tmp_path / "fresh")
    async with composing(home) as (app, pilot):
        assert "12 trials: all new" in shown(app)
        assert not home.database.exists()
        await press(pilot, "S", "y")
        await until(pilot, lambda: app.current_mode == "queue")
    assert queue.remaining(database.connect(home.database), "my-study")["queued"] == 12


@story
async def test_a_worker_that_would_end_with_the_login_is_warned_of(filled_home, started, monkeypatch):
    monkeypatch.setattr(login, "logout_warning", lambda: "lingering is off; loginctl enable-linger")
    async with composing(filled_home, start=small(name="other", seeds=3)) as (app, pilot):
        await press(pilot, "S", "y")
        await until(pilot, lambda: isinstance(app.screen, TextPage))
        await until(pilot, lambda: "loginctl enable-linger" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: "other: 4 trials queued; worker started" in shown(app))


@story
async def test_no_worker_is_started_where_nothing_is_left_to_do(filled_home, started):
    async with composing(filled_home, start=small(name="other", seeds=1)) as (app, pilot):
        await press(pilot, "S")
        assert "No worker is running" not in shown(app)
        await press(pilot, "y")
        await until(pilot, lambda: "other: nothing to do" in shown(app))
    assert not started


@story
async def test_what_keeps_it_from_being_submitted_is_told(filled_home, monkeypatch):
    def start(home, slots, crafting, *, succeed=False):
        raise Unavailable("the worker cannot be started: no more processes")

    monkeypatch.setattr(control, "start", start)
    async with composing(filled_home, start=small(name="other", seeds=3)) as (app, pilot):
        await press(pilot, "S", "y")
        await until(pilot, lambda: "other is queued, but the worker cannot be started" in shown(app))
        assert app.current_mode == "compose"
    assert queue.remaining(database.connect(filled_home.database), "other")["queued"] == 4, "whenever one can be"


@story
async def test_half_precision_wants_a_gpu(filled_home, started):
    start = small(name="half", training={"epochs": 1, "precision": "fp16"})
    async with composing(filled_home, start=start) as (app, pilot):
        await press(pilot, "S", "y")
        await until(pilot, lambda: "fp16 needs CUDA" in shown(app))
    assert not started


@story
async def test_a_missing_data_set_is_downloaded_and_how_that_goes_is_told(filled_home, started, monkeypatch):
    told = []

    def run(self, dataset, root, report):
        report(f"data set {dataset}: downloading to {root}")
        told.append(dataset)
        raise Unavailable("downloading it failed; put its files there")

    monkeypatch.setattr(compose_download.Download, "run", run)
    async with composing(filled_home, start=small(dataset="kmnist", name="kana")) as (app, pilot):
        await press(pilot, "S")
        assert "kmnist is not here yet: S downloads it" in shown(app)
        await press(pilot, "y")
        await until(pilot, lambda: "downloading it failed" in shown(app))
    assert told == ["kmnist"]
    assert not started, "nothing is started for what cannot run"


@story
async def test_leaving_ends_a_download(filled_home, started, monkeypatch):
    under_way, ended = threading.Event(), threading.Event()

    def run(self, dataset, root, report):
        under_way.set()
        assert ended.wait(20)
        report("too late for anybody to hear")
        raise Unavailable("ended")

    monkeypatch.setattr(compose_download.Download, "run", run)
    monkeypatch.setattr(compose_download.Download, "end", lambda self: ended.set())
    async with composing(filled_home, start=small(dataset="kmnist", name="kana")) as (_, pilot):
        await press(pilot, "S", "y")
        await until(pilot, under_way.is_set)
        await press(pilot, "S")
        assert "it is being submitted already" in shown(pilot.app)
        await press(pilot, "1")
        assert not ended.is_set()
    assert ended.is_set()


@story
async def test_a_database_only_read_says_so(filled_home):
    (filled_home.root / "tui.json").unlink()
    async with composing(filled_home, read_only=True) as (app, pilot):
        await press(pilot, "S")
        assert "--db opens a database to read only" in shown(app)
        await calm(pilot)
    assert not (filled_home.root / "tui.json").exists()


@story
async def test_composing_imports_nothing_that_trains(filled_home):
    before = set(sys.modules)
    async with composing(filled_home) as (_, pilot):
        await go(pilot, "attacks")
        await press(pilot, "space")
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"torch", "torchvision", "sklearn", "mlxtend", "pandas", "matplotlib"}


# --- downloading ---


def test_a_download_reports_and_passes_on_what_went_wrong(tmp_path, monkeypatch, capsys):
    heard = []
    compose_download.Download().run("digits", tmp_path, heard.append)
    assert heard == [], "an embedded set needs none"

    def fetch(source, root, report):
        report(f"{source.name} to {root}")
        raise Unavailable("no network")

    monkeypatch.setattr(datasets, "fetch", fetch)
    assert compose_download.main("mnist", str(tmp_path)) == 4
    assert capsys.readouterr().out == f"mnist to {tmp_path}\nno network\n"


def test_a_download_that_cannot_begin_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written") as raised:
        compose_download.Download().run("mnist", tmp_path / "file", lambda _: None)
    assert "\n" not in str(raised.value)
