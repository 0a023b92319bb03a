"""The queue's screen: what it tells of running, waiting and failed trials, and every key that steers them."""

import asyncio
import sys
import time
from dataclasses import replace
from types import ModuleType

import pytest
from textual.widgets import Input, Static

from app.report import status
from app.report.progress import learns_nothing, phase_figures, phase_name
from app.tui.queue import panels as queue_panels
from app.tui.queue.panels import RunningTrial, Survivors, panels
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Confirm, Prompt, TextPage
from app.tui.widgets.text import bar, coarse, curve, joined, sparkline
from app.worker import control, login, owner
from app.worker.pulse import Pulse
from core.attacks import resolve
from core.events import AttackProgress, EpochRecord, Started, TrainingProgress
from core.executors.protocol import Slot
from storage import database, queries, queue, recording, submitting, worker_state
from storage.changes import Drain, Draining
from storage.rows import EpochRow
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.conftest import plan_of, tiny
from tests.storage import stored

SIZED = pytest.mark.parametrize("size", SIZES)


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def waiting(home, db, cache):
    """A home with the tiny study's 8 trials queued."""
    submitting.submit(db, plan_of(tiny(), cache))
    return home


@pytest.fixture
def work(home):
    """`work(db, pulses…, state=…)`: a worker of this home beats, in this process; its lock is given up at the end."""
    held = []

    def beat(db, *pulses, state="working", reason=None, slots=1):
        if not held:
            held.append(owner.acquire(home, owner.DETACHED))
        on = {pulse.slot_number: pulse.trial_id for pulse in pulses}
        rooms = tuple(worker_state.SlotRow(n, "cpu", 1, on.get(n), None) for n in range(slots))
        told = worker_state.WorkerState(owner.DETACHED, time.time(), state, reason, None, rooms, 3)
        worker_state.beat(db, told, [pulse.live(512 << 20) for pulse in pulses])

    yield beat
    for ownership in held:
        ownership.release()


def training(db, slot=0):
    """Claim the next trial and be in its second of four epochs."""
    claim = queue.claim(db, device="cpu")
    recording.record_epochs(db, claim.trial_id, [EpochRecord(1, 2.0, 0.25, None, 0.1, 1.0)])
    pulse = Pulse(claim.trial_id, slot, Slot("cpu", 1))
    pulse.take(Started({"device": "cpu"}, 4321, "0" * 64))
    pulse.take(TrainingProgress(1, 4, 0, 10, 2.0, 0.1, 500.0))
    pulse._phase_began -= 3
    pulse.take(TrainingProgress(2, 4, 5, 10, 0.5, 0.875, 1234.0))
    return pulse


def attacked(pulse, done, survivors):
    attack = resolve("pgd", {"eps": [0.1], "steps": 4}, "test")
    pulse.take(AttackProgress(attack, 0.1, done, 60, survivors))


def fail(db, reason="loss is not finite"):
    claim = queue.claim(db)
    queue.fail(db, claim.attempt_id, reason, "Traceback")
    return claim.trial_id


def states(db):
    return dict(db.execute("SELECT state, count(*) FROM study_trial GROUP BY state").fetchall())


async def beats(pilot):
    """Until the screen has noticed that the database moved on."""
    pilot.app.look()
    await calm(pilot)


@SIZED
def test_an_empty_home_says_what_to_do_next(home, size):
    async def story():
        async with opened(home, size, press=["3"]) as (app, pilot):
            text = shown(app)
            assert "Nothing is queued, running or failed." in text
            assert "compose a study and submit it" in text
            assert "innate run quick --detach" in text
            assert "no worker: w starts one" in text
            await press_and_wait(pilot, "x", "R", "plus", "minus", "P", "X", "A", "space", "y", "enter", "u", "d")
            assert isinstance(app.screen, Page)

    asyncio.run(story())


@SIZED
def test_queued_trials_tell_why_they_wait(waiting, size):
    async def story():
        async with opened(waiting, size, press=["3"]) as (app, _):
            text = shown(app)
            assert "0 running, 8 queued, 0 failed" in text
            assert text.count("no worker is running") >= 8
            assert "waits: no worker is running: innate worker start" in text
            assert "adam relu s1" in text

    asyncio.run(story())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_running_trial_shows_curves_phase_and_pace(waiting, db, work, size):
    pulse = training(db)
    work(db, pulse)

    async def story():
        async with opened(waiting, size, press=["3"]) as (app, _):
            text = shown(app)
            assert "1 running, 7 queued, 0 failed" in text
            assert "epoch 2/4 (38 %, 5 s left)" in text
            for told in ("loss 0.500", "accuracy 87.5 %", "1,234 images/s", "512 MiB", "cpu"):
                assert told in text, told
            assert ("pid 4321" in text) == (size == LARGE)
            assert "the slot is busy, next in line" in text
            assert "time left: known once a trial has ended" not in text, "its own pace tells"

    asyncio.run(story())


@SIZED
def test_survivors_fall_while_one_looks(waiting, db, work, size):
    pulse = training(db)
    attacked(pulse, 0, 60)
    work(db, pulse)

    async def story():
        async with opened(waiting, size, press=["3"]) as (app, pilot):
            for done, survivors in ((20, 45), (40, 22), (60, 5)):
                attacked(pulse, done, survivors)
                work(db, pulse)
                await beats(pilot)
            text = shown(app)
            assert "pgd 5 of 60 survive" in text
            assert "pgd ε=0.1 (100 %" in text
            assert "loss 2.000" in text, "the curves of training stay"

    asyncio.run(story())


@SIZED
def test_stalled_paused_silent_and_dead_are_told_in_words(waiting, db, work, size, monkeypatch):
    pulse = training(db)
    pulse.progress_mark -= 1000
    work(db, pulse)

    async def story():
        async with opened(waiting, size, press=["3"]) as (app, pilot):
            assert "STALLED in epoch 2/4: silent for 17 min" in shown(app)
            assert "stalled" in shown(app)
            work(db, state="paused", reason="lunch")
            worker_state.pause(db, "lunch")
            queue.reclaim(db)
            await beats(pilot)
            text = shown(app)
            assert "is paused: lunch; z resumes" in text
            assert "waits: the worker is paused: lunch" in text
            monkeypatch.setattr(status, "_SILENT_BEATS", -1.0)
            await beats(pilot)
            app.screen._watch()
            await calm(pilot)
            assert "does not answer: no heartbeat since" in shown(app)

    asyncio.run(story())


def test_a_dead_worker_is_seen_though_nothing_is_written(waiting, db, home):
    ownership = owner.acquire(home, owner.DETACHED)
    pulse = training(db)
    worker_state.beat(db, worker_state.WorkerState("worker", 1.0, "working", None, None, (), 0), [pulse.live(None)])

    async def story():
        async with opened(waiting, press=["3"]) as (app, pilot):
            assert "1 running" in shown(app)
            ownership.release()
            await beats(pilot)
            app.screen._watch()
            await calm(pilot)
            text = shown(app)
            assert "0 running, 8 queued" in text
            assert "no worker: w starts one" in text
            assert "its worker has ended" in text

    asyncio.run(story())


@SIZED
def test_failed_trials_tell_why_and_f_shows_only_them(waiting, db, size):
    failed = fail(db, "loss is [bold]not[/] finite\nat epoch 2")

    async def story():
        async with opened(waiting, size, press=["3"]) as (app, pilot):
            assert "1 failed" in shown(app)
            await press_and_wait(pilot, "f")
            text = shown(app)
            assert app.screen.grid.total == 1
            assert f"{failed[:10]} failed: loss is [bold]not[/] finite at epoch 2" in text, "markup is only text here"
            assert "only failed, f shows all" in text
            await press_and_wait(pilot, "R")
            assert "queued trial" in shown(app)
            assert "Nothing has failed." in shown(app)
            await press_and_wait(pilot, "f", "R")
            assert "it is queued; R is for what has failed" in shown(app)
        assert states(db) == {"queued": 8}

    asyncio.run(story())


def test_retry_all_asks_first(waiting, db):
    fail(db), fail(db)

    async def story():
        async with opened(waiting, press=["3", "A"]) as (app, pilot):
            assert isinstance(app.screen, Confirm)
            await press_and_wait(pilot, "n")
            assert states(db)["failed"] == 2
            await press_and_wait(pilot, "A", "y")
            assert states(db) == {"queued": 8}
            assert "≡ innate retry --all" in shown(app) or "w starts a worker" in shown(app)
            await press_and_wait(pilot, "A")
            assert "nothing has failed" in shown(app)

    asyncio.run(story())


@SIZED
def test_one_is_cancelled_at_once_several_after_a_question(waiting, db, size):
    async def story():
        async with opened(waiting, size, press=["3"]) as (app, pilot):
            first = app.screen.grid.current.trial_id
            await press_and_wait(pilot, "x")
            assert states(db) == {"queued": 7, "cancelled": 1}
            assert f"cancelled trial {first[:10]}" in shown(app)
            await press_and_wait(pilot, "space", "space", "x")
            assert isinstance(app.screen, Confirm)
            await press_and_wait(pilot, "n")
            assert len(app.screen.grid.marks) == 2
            assert "2 marked" in shown(app)
            await press_and_wait(pilot, "x", "y")
            assert states(db) == {"queued": 5, "cancelled": 3}
            assert not app.screen.grid.marks
            await press_and_wait(pilot, "space", "u")
            assert not app.screen.grid.marks
            await press_and_wait(pilot, "X", "n", "X", "y")
            assert states(db) == {"cancelled": 8}

    asyncio.run(story())


def test_what_failed_is_not_cancelled(waiting, db):
    fail(db)

    async def story():
        async with opened(waiting, press=["3", "f", "x"]) as (app, _):
            assert "it has failed already" in shown(app)

    asyncio.run(story())


@SIZED
def test_priorities_up_down_and_to_a_number(waiting, db, size):
    async def story():
        async with opened(waiting, size, press=["3", "j", "j", "j"]) as (app, pilot):
            grid = app.screen.grid
            trial = grid.current.trial_id
            await press_and_wait(pilot, "plus")
            assert (grid.cursor, grid.current.trial_id) == (0, trial), "the cursor goes with its trial"
            assert f"≡ innate priority {trial[:10]} 1" in shown(app)
            await press_and_wait(pilot, "plus", "minus", "minus", "minus")
            assert (grid.cursor, grid.current.trial_id, grid.current.priority) == (7, trial, -1)
            await press_and_wait(pilot, "P")
            assert isinstance(app.screen, Prompt)
            field = app.screen.query_one(Input)
            field.value = "soon"
            await press_and_wait(pilot, "enter")
            assert "a whole number, such as 10 or -5" in str(app.screen.query_one(".problem", Static).content)
            field.value = "99999999999"
            await press_and_wait(pilot, "enter")
            assert isinstance(app.screen, Prompt)
            field.value = "10"
            await press_and_wait(pilot, "enter")
            assert queries.priorities(db, [trial]) == {trial: 10}
            assert grid.cursor == 0
            await press_and_wait(pilot, "space", "space", "minus")
            assert sorted(row.priority for row in queries.trials(db))[0] == -1
            assert queries.priorities(db, [trial]) == {trial: 9}, "each from its own"
            await press_and_wait(pilot, "P", "escape")
            assert isinstance(app.screen, Page)

    asyncio.run(story())


@SIZED
def test_pause_asks_why_and_the_same_key_resumes(waiting, db, size):
    async def story():
        async with opened(waiting, size, press=["3", "z"]) as (app, pilot):
            assert isinstance(app.screen, Prompt)
            await press_and_wait(pilot, "escape")
            assert worker_state.paused(db) is None
            await press_and_wait(pilot, "z", *"tea", "enter")
            assert worker_state.paused(db) == "tea"
            assert "the queue is paused: tea; z resumes, w starts one" in shown(app)
            await press_and_wait(pilot, "z")
            assert worker_state.paused(db) is None
            await press_and_wait(pilot, "z", "enter")
            assert worker_state.paused(db) == "innate worker resume goes on"

    asyncio.run(story())


def test_drain_needs_a_worker_and_a_yes(waiting, db, work):
    async def story():
        async with opened(waiting, press=["3", "d"]) as (app, pilot):
            assert "nothing to drain; w starts one" in shown(app)
            work(db, state="idle")
            await beats(pilot)
            await press_and_wait(pilot, "d")
            assert isinstance(app.screen, Confirm)
            asked = []
            app.screen_stack[-2].steer = lambda change, done, command: asked.append(
                (change, done(Draining(2)), command)
            )
            await press_and_wait(pilot, "y")
            told = "draining: 2 still to finish, then the worker ends; z takes it back"
            assert asked == [(Drain(), told, "innate worker drain")]
            await press_and_wait(pilot, "w")
            assert "a worker is running already" in shown(app)

    asyncio.run(story())


@SIZED
def test_w_starts_a_worker_and_warns_of_the_logout(waiting, monkeypatch, size):
    started = []

    def start(home, slots, crafting):
        started.append((home.root, len(slots), crafting))
        return control.Started(77)

    monkeypatch.setattr(control, "start", start)
    monkeypatch.setattr(login, "logout_warning", lambda: "this system ends what you leave behind")

    async def story():
        async with opened(waiting, size, press=["3", "w"]) as (app, pilot):
            assert isinstance(app.screen, TextPage)
            assert "this system ends what you leave behind" in shown(app)
            await press_and_wait(pilot, "escape")
            assert "worker started (pid 77, " in shown(app)

    asyncio.run(story())
    assert started[0][0] == waiting.root


def test_under_db_everything_answers_in_a_sentence(waiting, db):
    async def story():
        async with opened(waiting, read_only=True, press=["3"]) as (app, pilot):
            for key in ("x", "R", "plus", "minus", "P", "X", "A", "z", "d", "w"):
                app.screen.say("")
                await press_and_wait(pilot, key)
                assert "--db opens a database to read only" in shown(app), key

    asyncio.run(story())
    assert states(db) == {"queued": 8}


def test_enter_opens_the_run_and_y_copies_its_id(waiting, db, monkeypatch):
    opened_with = []

    class Detail(TextPage):
        def __init__(self, session, study, trial_id):
            opened_with.append((study, trial_id))
            super().__init__("a run", "everything about it")

    module = ModuleType("app.tui.run.screen")
    module.DetailScreen = Detail
    monkeypatch.setitem(sys.modules, "app.tui.run.screen", module)

    async def story():
        async with opened(waiting, press=["3", "y"]) as (app, pilot):
            row = app.screen.grid.current
            assert app.clipboard == row.trial_id
            await press_and_wait(pilot, "enter")
            assert opened_with == [("tiny", row.trial_id)]

    asyncio.run(story())


def test_every_action_has_its_command(waiting):
    async def story():
        async with opened(waiting, press=["3"]) as (app, pilot):
            screen = app.screen
            commands = screen.equivalents()
            assert {key.action for key in screen.KEYS} - commands.keys() == {"unmark", "copy"}
            trial = screen.grid.current.trial_id[:10]
            assert commands["cancel"] == f"innate cancel {trial}"
            assert commands["raise_priority"] == f"innate priority {trial} 1"
            await press_and_wait(pilot, "e")
            assert "innate worker pause" in app.screen._content.plain
            await press_and_wait(pilot, "escape", "question_mark")
            assert "priority one up" in shown(app)

    asyncio.run(story())


def test_the_cursor_stays_with_its_trial_when_others_are_taken(waiting, db, work):
    async def story():
        async with opened(waiting, press=["3", "j", "j", "j"]) as (app, pilot):
            trial = app.screen.grid.current.trial_id
            stored.run_one(db, waiting)
            work(db)
            await beats(pilot)
            assert (app.screen.grid.cursor, app.screen.grid.current.trial_id) == (2, trial)

    asyncio.run(story())


def test_ten_thousand_queued_trials_are_read_by_the_page(home, db, cache, work, monkeypatch):
    submitting.submit(db, plan_of(tiny(seeds=2500), cache))
    fail(db)
    pulse = training(db)
    work(db, pulse)
    read = []
    original = queries.in_line
    monkeypatch.setattr(queries, "in_line", lambda *rest: read.append(rows := original(*rest)) or rows)
    monkeypatch.setattr(queries, "unfinished", lambda *rest: pytest.fail("reads everything"))

    async def story():
        async with opened(home, press=["3"]) as (app, pilot):
            assert "1 running, 9,998 queued, 1 failed" in shown(app)
            read.clear()
            await press_and_wait(pilot, "G")
            assert app.screen.grid.current.state == "failed"
            assert "all" not in app.screen.grid.row(9998).told
            assert app.screen.grid.row(9998).told == "the slot is busy, 9997 before it"
            assert sum(len(rows) for rows in read) <= 600, "the pages in sight, and what runs"

    asyncio.run(story())


def test_pages_say_the_same_as_the_whole(home, db, cache, work):
    submitting.submit(db, plan_of(tiny(), cache))
    submitting.submit(db, plan_of(tiny(name="second", seeds=3), cache))
    trials = [row.trial_id for row in queries.trials(db, "second")]
    queue.prioritise(db, trials[3:6], 2)
    fail(db)
    pulse = training(db)
    for alive in (True, False):
        if alive:
            work(db, pulse, slots=2)
        view = status.worker_view(db, home) if alive else status.WorkerView(False, "none", None)
        whole, counts = status.unfinished(db, view), status.totals(db, view)
        assert sum(counts.values()) == len(whole)
        paged = [row for offset in range(0, len(whole), 3) for row in status.page(db, view, counts, offset, 3)]
        assert [replace(row, silent_for=None) for row in paged] == [replace(row, silent_for=None) for row in whole]
        for index, row in enumerate(whole):
            assert status.place(db, view, counts, row.study, row.trial_id) == (index, row.state)
    assert status.place(db, view, counts, "tiny", "gone") is None


def test_time_left_is_never_less_than_what_a_running_trial_says_of_itself(home, db, cache, work):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    stored.run_one(db, home)
    db.execute("UPDATE attempt SET started_at = ended_at - 1")
    db.execute("UPDATE study_trial SET state = 'cancelled' WHERE state = 'queued'")
    submitting.submit(db, plan_of(tiny(name="long", seeds=1, optimizers=["adam"], activations=["elu"]), cache))
    pulse = training(db)
    pulse._phase_began -= 100
    work(db, pulse, slots=2)
    view = status.worker_view(db, home)
    assert pulse.seconds_left() > 50
    assert status.seconds_left(db, view) == pytest.approx(pulse.seconds_left(), rel=0.02)


def test_time_left_is_learned_from_the_study_itself(home, db, cache, work):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    stored.run_one(db, home)
    db.execute("UPDATE attempt SET started_at = ended_at - 10")
    submitting.submit(db, plan_of(tiny(name="slow", seeds=1, activations=["elu"]), cache))
    work(db)
    view = status.worker_view(db, home)
    assert status.seconds_left(db, view) == pytest.approx(5 * 10)
    assert status.seconds_left(db, view, "tiny") == pytest.approx(3 * 10)
    slow = next(row.trial_id for row in queries.trials(db, "slow"))
    queue.prioritise(db, [slow], 1)
    pulse = training(db)
    assert pulse.trial_id == slow
    pulse.began_at -= 95
    work(db, pulse)
    each, left = 95 + pulse.seconds_left(), pulse.seconds_left()
    assert status.seconds_left(db, view) == pytest.approx(3 * 10 + each + left, rel=0.02), "it has taken longer already"
    assert status.seconds_left(db, status.WorkerView(False, "none", None)) is None


def test_labels_are_the_study_s_own(home, db, cache):
    submitting.submit(db, plan_of(tiny(optimizers=["adam", {"name": "adam", "lr": 0.02}], activations=["relu"]), cache))
    view = status.worker_view(db, home)
    counts = status.totals(db, view)
    assert [row.label for row in status.page(db, view, counts, 0, 2)] == ["adam lr=0.001 s0", "adam lr=0.02 s0"]
    assert status.page(db, view, counts, 3, 1)[0].label == "adam lr=0.02 s1"
    submitting.submit(db, plan_of(tiny(name="one", seeds=1, optimizers=["adam"], activations=["elu"]), cache))
    assert status.page(db, view, status.totals(db, view), 0, 1, study="one")[0].label == "mlp"


def test_a_phase_is_told_in_the_same_words_everywhere():
    attack = worker_state.AttackPhase("a" * 64, "pgd", 0.1, 12, 60)
    assert (phase_name(attack), phase_figures(attack)) == ("pgd ε=0.1", "12/60 survive")
    assert phase_name(replace(attack, attack="cw", eps=None)) == "cw"
    training = worker_state.TrainingPhase(3, 5, 0.1234, 0.9712)
    assert (phase_name(training), phase_figures(training)) == ("epoch 3/5", "loss 0.123 acc 97.1%")
    lost = worker_state.TrainingPhase(3, 5, float("nan"), float("nan"))
    assert phase_figures(lost) == "loss nan acc nan%"
    told = [
        (phase_name(phase), phase_figures(phase))
        for phase in (None, worker_state.LoadingPhase(), worker_state.TrainedPhase())
    ]
    assert told == [("starting", ""), ("loading", ""), ("trained", "")]


def test_small_drawings():
    assert sparkline([0, 1, 2, 3], 8, 0, 3) == "▁▃▆█"
    assert sparkline(list(range(100)), 4, 0, 99) == "▂▄▆█"
    assert sparkline([float("nan"), 1.0], 4, 0, 1) == "·█"
    assert bar(0.5, 4) == "██░░"
    assert [coarse(s) for s in (1, 13, 100, 7300)] == ["5 s", "15 s", "2 min", "2 h 00 min"]


def at_work(phase, share=0.5, clean=None):
    """A trial that a worker tells this of."""
    row = worker_state.RunningRow("a" * 64, 0, "cpu", 1, phase, share, 10.0, None, 1.0, 0.0, 0.0)
    return status.UnfinishedTrial(
        "s", row.trial_id, "running", None, 0, 0, 1, clean, "adam", None, False, 0.0, row, row={}
    )  # fmt: skip


def test_a_curve_is_drawn_in_dots():
    assert curve([0.0, 1.0], 2, 1, 0.0, 1.0) == ["⡠⠊"]
    flat = curve([0.5] * 9, 10, 3, 0.0, 1.0)
    assert [line.strip() == "" for line in flat] == [True, False, True]
    assert len(flat[1].strip()) == 10
    assert curve([], 4, 2, 0.0, 1.0) == ["    ", "    "]
    gap = curve([1.0, float("nan"), 1.0], 6, 1, 0.0, 1.0)[0]
    assert gap.strip() != ""
    assert " " in gap.strip(), "what is no number is left out"


def test_a_run_that_learns_nothing_says_so():
    assert learns_nothing([0.11, 0.12, 0.11], 10)
    assert not learns_nothing([0.11, 0.12], 10), "it is young"
    assert not learns_nothing([0.11, 0.25, 0.11], 10), "it had begun to"
    assert not learns_nothing([0.52, 0.53, 0.56], 2)
    assert learns_nothing([0.52, 0.53, 0.54], 2)
    trial = replace(at_work(worker_state.TrainingPhase(4, 9, 2.3, 0.1)), learns_nothing=True)
    for size, wide, room in ((80, False, 6), (80, False, 2), (80, False, 1), (140, True, 3)):
        lines = panels([RunningTrial(trial, [])], {}, size, room, wide=wide)
        assert "LEARNS NOTHING, epoch 4/9" in "\n".join(line.plain for line in lines)


def test_a_running_trial_that_guesses_is_told_of(waiting, db, work):
    pulse = training(db)
    work(db, pulse)

    def told():
        return status.unfinished(db, status.worker_view(db, waiting))[0]

    assert not told().learns_nothing
    guessing = [EpochRecord(number, 2.3, 0.1, None, 0.1, 1.0) for number in (1, 2, 3)]
    recording.record_epochs(db, pulse.trial_id, guessing)
    assert told().learns_nothing
    assert told().as_row()["learns_nothing"] is True


def test_with_room_there_are_real_curves():
    epochs = [EpochRow("a" * 64, number, 2.0 / number, 0.3 * number, None, 0.1, 1.0, None) for number in (1, 2, 3)]
    falling = Survivors("p", [1.0, 0.5, 0.25])
    trial = RunningTrial(at_work(worker_state.AttackPhase("p", "pgd", 0.1, 15, 60), clean=1.0), epochs)
    for width, wide in ((80, False), (140, True)):
        lines = [line.plain for line in panels([trial], {"a" * 64: falling}, width, 9, wide=wide)]
        assert len(lines) == (8 if wide else 6)
        assert max(map(len, lines)) <= width
        assert [name in lines[1] for name in ("loss 0.667", "accuracy 90.0 %", "pgd 15 of 60 survive")] == [True] * 3
        dots = [sum(0x2800 < ord(character) < 0x2900 for character in line) for line in lines]
        assert dots[0] == dots[1] == 0
        assert all(dots[2:-1]), "each line of the figure has something of one curve or another"


def test_lanes_stand_below_their_device():
    lanes = [status.DeviceLanes("cuda:0", worker_state.LaneRow(16, None, True), ("a", "b"), None)]
    trial = at_work(worker_state.TrainingPhase(1, 2, 1.0, 0.5))
    on_gpu = [
        RunningTrial(
            replace(trial, running=replace(trial.running, device="cuda:0", slot=slot), label=f"lane {slot}"), []
        )
        for slot in (3, 1, 2)
    ]
    many = [*on_gpu, RunningTrial(trial, [])]
    lines = [line.plain for line in panels(many, {}, 80, 6, wide=False, lanes=lanes)]
    assert lines[0].split("  ") == ["cuda:0", "lanes 2 of 16 busy (auto, settled)", "30 images/s"]
    assert ["lane 1" in lines[1], "lane 2" in lines[2], "lane 3" in lines[3], "adam" in lines[4]] == [True] * 4
    cut = [line.plain for line in panels(many, {}, 80, 4, wide=False, lanes=lanes)]
    assert len(cut) == 4
    assert cut[-1] == "  and 2 more run, in the table below"


def test_many_running_trials_leave_room_for_the_table():
    many = [RunningTrial(at_work(worker_state.TrainingPhase(1, 2, 1.0, 0.5)), []) for _ in range(5)]
    assert len(panels(many, {}, 140, 44, wide=True)) == 40
    assert len(panels(many, {}, 140, 29, wide=True)) == 15
    assert len(panels(many, {}, 140, 12, wide=True)) == 10
    assert len(panels(many, {}, 80, 7, wide=False)) == 5
    cut = panels(many, {}, 80, 3, wide=False)
    assert len(cut) == 3
    assert "and 3 more run" in cut[-1].plain
    assert panels(many, {}, 80, 0, wide=False) == []


def test_survivors_are_thinned_out_not_forgotten(monkeypatch):
    monkeypatch.setattr(queue_panels, "_KEPT", 10)
    falling = Survivors()
    for step in range(40):
        phase = worker_state.AttackPhase("p", "pgd", step // 20, 40 - step, 40)
        for _ in range(2):
            falling.look(RunningTrial(at_work(phase, step / 40, clean=1.0), []))
    assert len(falling.shares) <= 10
    assert falling.shares[-1] == pytest.approx(1 / 40)
    falling.look(RunningTrial(at_work(worker_state.AttackPhase("f", "fgsm", 0.1, 40, 40), 0.0), []))
    assert falling.shares == [1.0]


def test_a_line_of_parts_has_whole_ones_only():
    parts = ["worst case, %", "by optimizer", "kumar-cnn"]
    assert joined(parts, 80) == "worst case, %  ·  by optimizer  ·  kumar-cnn"
    assert joined(parts, 43) == "worst case, %  ·  by optimizer"
    assert joined(parts, 5) == "worst case, %", "the first stands in any case"
    assert joined([], 80) == ""
