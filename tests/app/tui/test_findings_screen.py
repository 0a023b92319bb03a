"""Findings: every key of it, on a small and on a large screen."""

import asyncio
import json

import pytest
from textual.widgets import Input, Static

from app.tui.findings.pane import EvidencePane
from app.tui.findings.screen import FindingsScreen
from app.tui.run.screen import DetailScreen
from app.tui.widgets.dialogs import Confirm, Picker
from storage import database, queries, submitting
from storage.home import Home, prepare
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import copy_home, innate_command, plan_of, tiny
from tests.storage import stored


def add(db, home, **changes):
    """The tiny study with some keys changed, all done."""
    submitting.submit(db, plan_of(tiny(**changes), home.cache))
    seed = 0
    while stored.run_one(db, home, changes.get("name"), seed=seed):
        seed += 1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two studies: three seeds of four variants, and one seed of four others, two of which are the same."""
    home = Home(tmp_path_factory.mktemp("findings") / "home")
    prepare(home)
    db = database.connect(home.database)
    add(db, home, name="single", seeds=1, activations=["relu", "sigmoid"])
    add(db, home, name="tiny", seeds=3)
    db.conn.close()
    return home.root


@pytest.fixture
def place(made, tmp_path):
    copy_home(made, tmp_path / "home")
    return Home(tmp_path / "home")


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


def told(app):
    """The words of the evidence, on one line."""
    return " ".join(str(app.screen.query_one("#text", Static).content).split())


def caption(app):
    """What stands above the pairs."""
    return str(app.screen.query_one("#caption", Static).content)


async def go_to(app, pilot, key):
    """Put the cursor on a finding, or on a heading; that keys move it is a Grid's own affair."""
    listed = app.screen.listed
    listed.move_to(next(place for place in range(listed.total) if listed.row(place).key == key))
    await calm(pilot)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_claims_and_levels_stand_with_verdicts_and_whiskers_and_whole_words(place, size):
    async def story(app, pilot):
        text = shown(app)
        assert "tiny  ·  worst case, ℓ∞ ε 0.1  ·  12 models  ·  margin 0.5 points" in text
        assert "Claims beyond this study" in text
        assert "cannot say" in text
        assert "sigmoid weakens, any attack" in text
        await go_to(app, pilot, "effect:activation:relu")
        text = shown(app)
        (line,) = [line for line in text.splitlines() if "relu differs from tanh" in line]
        assert "inconclusive" in line
        assert "●" in line
        assert "├" in line or "┤" in line
        assert " 6 " in line, "pairs: two optimizers, three seeds"
        assert "relu against tanh in the worst case" in told(app)
        assert "innate attack --study tiny --audit" in told(app)
        if size == SMALL:
            assert "innate attack --study tiny --audit" in text, "what helps is in sight"

    play(place, story, size)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_part_of_the_evidence_is_shown_on_tab_and_remembered(place, size):
    async def story(app, pilot):
        await go_to(app, pilot, "effect:activation:relu")
        await press_and_wait(pilot, "tab")
        await until(pilot, lambda: "goes the other way" in caption(app))
        assert "[Pairs]" in shown(app)
        await press_and_wait(pilot, "tab")
        assert "[Interaction]" in shown(app)
        assert "× optimizer" in shown(app)
        await press_and_wait(pilot, "tab")
        assert "[Causes]" in shown(app)
        await press_and_wait(pilot, "tab")
        assert "[Settle]" in shown(app)
        assert "tiny: nothing to train" in shown(app)
        assert "limited by attacks and audits" in " ".join(shown(app).split())
        await press_and_wait(pilot, "tab")
        assert "B sets another study beside this one" in shown(app)
        await press_and_wait(pilot, "right_square_bracket")
        assert "[Rests on]" in shown(app)
        await press_and_wait(pilot, "shift+tab", "left_square_bracket")
        assert "[Settle]" in shown(app)

    play(place, story, size)
    assert json.loads((place.root / "tui.json").read_text())["findings"]["part"] == "settle"


def test_a_heading_tells_of_all_below_it(place):
    async def story(app, pilot):
        await go_to(app, pilot, "silent")
        assert "no scored model has sigmoid" in " ".join(shown(app).split())
        await go_to(app, pilot, "activation")
        assert "average ranks over" in " ".join(shown(app).split())
        await press_and_wait(pilot, "tab")
        assert "Pairs are of one finding" in shown(app)

    play(place, story)


@pytest.mark.parametrize("size", SIZES)
def test_a_pair_shows_both_numbers_and_opens_a_run_of_it(place, size):
    async def story(app, pilot):
        await go_to(app, pilot, "effect:activation:relu")
        await press_and_wait(pilot, "tab", "enter")
        table = app.screen.query_one(EvidencePane).query_one("#pairs")
        await until(pilot, lambda: table.total == 6)
        assert "esc goes back to the list" in shown(app)
        line, pair = table.current, app.screen.evidence.pair
        assert line.cells["differs"][0] == f"{100 * (pair.level - pair.other):+.1f}"
        assert line.cells["seed"][0] == str(pair.seed)
        await press_and_wait(pilot, "j", "enter")
        pair = app.screen_stack[-2].evidence.pair
        assert app.screen_stack[-2].equivalents()["enter"].startswith(f"innate show {pair.models[0].trial_id[:10]}")
        await pick(app, pilot, "tanh")
        assert isinstance(app.screen, DetailScreen)
        assert app.screen._trial_id == pair.models[1].trial_id
        await press_and_wait(pilot, "escape")
        assert isinstance(app.screen, FindingsScreen)
        await press_and_wait(pilot, "escape", "j")
        assert app.screen.listed.current.key == "silent"

    play(place, story, size)


def test_another_study_is_chosen_and_one_set_beside_it(place):
    async def story(app, pilot):
        await press_and_wait(pilot, "o")
        await pick(app, pilot, "single")
        assert "single  ·  worst case" in shown(app)
        await press_and_wait(pilot, "B")
        await pick(app, pilot, "tiny")
        await go_to(app, pilot, "effect:activation:relu")
        text = " ".join(shown(app).split())
        assert "beside tiny" in text
        assert "[Beside]" in text
        assert "single inconclusive: relu against sigmoid" in text
        assert "tiny inconclusive: relu against tanh" in text
        assert app.screen.equivalents()["beside"] == "innate findings --study single --beside tiny"
        await press_and_wait(pilot, "B")
        await pick(app, pilot, "none")
        assert "beside tiny" not in shown(app)

    play(place, story)
    assert json.loads((place.root / "tui.json").read_text())["findings"] == {
        "study": "single",
        "beside": None,
        "part": "beside",
    }


def test_settling_says_what_it_costs_asks_queues_and_tells_how_far_it_is(place, started):
    async def story(app, pilot):
        await press_and_wait(pilot, "o")
        await pick(app, pilot, "single")
        await go_to(app, pilot, "effect:activation:relu")
        await press_and_wait(pilot, "S")
        await pick(app, pilot, "all that")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        text = shown(app)
        assert "Settle single?" in text
        assert "8 more trials of 4 variants, about" in " ".join(text.replace("│", " ").split())
        assert "No worker is running: one is started" in text
        await press_and_wait(pilot, "n")
        assert not started
        await press_and_wait(pilot, "S")
        await pick(app, pilot, "effects of the activation")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await press_and_wait(pilot, "y")
        await until(pilot, lambda: "8 trials queued; worker started" in shown(app))
        text = " ".join(shown(app).split())
        assert "innate findings --study single --settle --about activation; innate worker start" in text
        await until(pilot, lambda: "settling 4/8" in shown(app))

    play(place, story)
    assert [told[0] for told in started] == [place.root]
    db = database.connect(place.database)
    new = [row for row in queries.trials(db, "single") if row.seed]
    # What was trained for the other study needs nothing more.
    assert sorted((row.activation, row.seed, row.state) for row in new) == [
        (activation, seed, state)
        for activation, state in (("relu", "done"), ("sigmoid", "queued"))
        for seed in (1, 1, 2, 2)
    ]


def test_the_comparisons_of_a_claim_have_their_pairs_one_after_another(place):
    async def story(app, pilot):
        await press_and_wait(pilot, "c")
        assert "several comparisons: tab goes to Pairs" in shown(app)
        await press_and_wait(pilot, "o")
        await pick(app, pilot, "single")
        await go_to(app, pilot, "claim-1")
        await press_and_wait(pilot, "tab")
        said = []
        for _ in range(3):
            await until(pilot, lambda: "2 comparisons" in caption(app) and caption(app) not in said[-1:])
            said.append(caption(app))
            await press_and_wait(pilot, "c")
        assert "sigmoid against relu, fgsm" in said[0] + said[1]
        assert "sigmoid against relu, pgd" in said[0] + said[1]
        assert sum("not the one that decides" in one for one in said[:2]) == 1
        assert said[2] == said[0]

    play(place, story)


def test_what_cannot_be_settled_says_why_and_asks_nothing(place, started):
    async def story(app, pilot):
        await press_and_wait(pilot, "S")
        await pick(app, pilot, "all that")
        await until(pilot, lambda: "nothing is decided" in shown(app))
        assert isinstance(app.screen, FindingsScreen)

    play(place, story)
    assert not started


def test_what_a_pair_a_finding_or_a_heading_rests_on_is_attacked_harder(place):
    chosen = []

    async def story(app, pilot):
        await go_to(app, pilot, "silent")
        await press_and_wait(pilot, "A")
        assert "nothing to attack" in shown(app)
        for key in ("activation", "effect:activation:relu"):
            await go_to(app, pilot, key)
            await press_and_wait(pilot, "A")
            assert "Attack harder: 12 runs of tiny" in shown(app)
            await press_and_wait(pilot, "escape")
        await press_and_wait(pilot, "tab", "enter")
        await until(pilot, lambda: app.screen.evidence.pair is not None)
        chosen.extend(model.trial_id for model in app.screen.evidence.pair.models)
        asked = app.screen.equivalents()["harder"]
        await press_and_wait(pilot, "A")
        assert "Attack harder: 2 runs of tiny" in shown(app)
        await press_and_wait(pilot, "enter", "n")
        assert "escalating 2 runs" in " ".join(shown(app).split())
        assert app.session.done[-1].command == asked
        assert asked == f"innate attack {chosen[0][:10]} {chosen[1][:10]} --escalate --study tiny"

    play(place, story)
    db = database.connect(place.database)
    assert {row[0] for row in db.execute("SELECT trial_id FROM escalation").fetchall()} == set(chosen)


def test_a_database_to_read_only_refuses_to_settle_before_it_asks(place):
    async def story(app, pilot):
        await press_and_wait(pilot, "S")
        assert "--db opens a database to read only" in shown(app)

    play(place, story, read_only=True)


def test_what_takes_seconds_is_done_again_only_when_the_data_have_changed(place, monkeypatch):
    looks = []
    from app.tui.findings import data

    once = data.findings
    monkeypatch.setattr(data, "findings", lambda db, study: looks.append(study) or once(db, study))

    async def story(app, pilot):
        assert looks == ["tiny"]
        db = database.connect(place.database)
        with database.transaction(db):
            db.execute("UPDATE study SET description = 'a heartbeat'")
        app.look()
        await calm(pilot)
        app.screen.reload()
        await press_and_wait(pilot, "tab", "tab", "j")
        assert looks == ["tiny"]
        with database.transaction(db):
            db.execute("UPDATE study_trial SET trust = 'suspect' WHERE study = 'tiny'")
        db.conn.close()
        app.look()
        await until(pilot, lambda: len(looks) == 2)
        await until(pilot, lambda: "suspect" in shown(app))

    play(place, story)


def test_a_home_without_a_study_says_what_to_do(tmp_path):
    home = Home(tmp_path / "empty")

    async def story(app, pilot):
        assert "Nothing has been run here yet" in shown(app)
        await press_and_wait(pilot, "S", "c", "y", "enter", "tab", "e")
        await press_and_wait(pilot, "escape", "o")
        assert "there is no study yet" in shown(app)

    play(home, story)


def test_every_equivalent_command_runs(place):
    commands = []

    async def story(app, pilot):
        await go_to(app, pilot, "effect:activation:relu")
        for _ in range(6):
            commands.append(app.screen.equivalents()["turn(1)"])
            await press_and_wait(pilot, "y")
            assert app.clipboard == commands[-1]
            await press_and_wait(pilot, "tab")
        commands.extend(app.screen.equivalents()[action] for action in ("study", "settle", "comparison"))

    play(place, story)
    assert [command.split()[1] for command in commands] == ["findings"] * 2 + ["chart"] * 2 + ["findings"] * 5
    assert "--by activation,optimizer" in commands[2]
    assert commands[7] == "innate findings --study tiny --settle --about activation"
    for command in dict.fromkeys(commands):
        assert "tiny" in innate_command(*command.split()[1:], home=place.root).stdout
