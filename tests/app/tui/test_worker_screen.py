"""The worker's screen: the worker, its slots, the machine, the log; and the keys that start, stop and search."""

import asyncio
import os
import re
from dataclasses import replace

import pytest
from textual.widgets import Input

from app.report import status
from app.tui.widgets.dialogs import Confirm
from app.tui.widgets.log import LogLine, LogView
from app.tui.worker.log import shown_line
from app.tui.worker.machine import Gauges
from app.worker import control
from app.worker.driver import Gpu
from app.worker.log import read_on
from storage import database, submitting, worker_state
from storage.changes import Drain, Resume
from tests.app.tui.conftest import LARGE, SIZES, SMALL, calm, opened, press_and_wait, shown
from tests.app.tui.test_queue import training, work  # noqa: F401 - a fixture
from tests.conftest import plan_of, tiny
from tests.storage import stored

SIZED = pytest.mark.parametrize("size", SIZES)
GIB = 1 << 30


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def waiting(home, db, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    return home


@pytest.fixture
def logged(home):
    """A home whose worker has written 60 lines of log."""
    lines = [f"2001-02-03 04:05:{n:02d},123 INFO line {n}{' odd' if n % 2 else ''}" for n in range(59)]
    lines.append("2001-02-03 04:06:00,000 ERROR the [bold]end[/bold] is near")
    home.worker_log.write_text("\n".join(lines) + "\nhalf a line that is still being wri", encoding="utf-8")
    return home


def flat(app):
    """The screen in one line: what is told may go over two in a narrow column."""
    return " ".join(part for line in shown(app).splitlines() for part in line.split("│")[0].split())


async def again(pilot):
    """The next look at the machine and the log."""
    pilot.app.look()
    await calm(pilot)
    pilot.app.screen.reload()
    await calm(pilot)


@SIZED
def test_without_worker_and_log_it_says_how_to_start(home, size):
    async def story():
        async with opened(home, size, press=["5"]) as (app, pilot):
            text = shown(app)
            assert "no worker: w starts one" in text
            assert "no worker has written one here yet" in text
            assert "0 trials ended in the last hour" in text
            assert "memory " in text
            assert "GiB free" in text
            await again(pilot)
            assert " % of " in shown(app)
            await press_and_wait(pilot, "S", "d")
            assert "nothing to drain" in shown(app)
            await press_and_wait(pilot, "S")
            assert "no worker is running; w starts one" in shown(app)

    asyncio.run(story())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_slots_devices_and_throughput(waiting, db, work, size):  # noqa: F811
    gpus = [
        Gpu("cuda:0", "GPU-a", "NVIDIA [red]H200[/]", 140 * GIB, 100 * GIB, 0.87),
        Gpu("cuda:1", "GPU-b", "NVIDIA", 8 * GIB, 0),
    ]
    stored.run_one(db, waiting)
    pulse = training(db)
    work(db, pulse, slots=3)
    told = worker_state.last_heartbeat(db).worker
    crowded = replace(told.slots[1], waits="cuda:1 has 0.0 GiB free of 8.0, 2.0 needed: other processes fill it")
    worker_state.beat(db, replace(told, slots=(told.slots[0], crowded, told.slots[2])), [pulse.live(512 << 20)])

    async def story():
        async with opened(waiting, size) as (app, pilot):
            await press_and_wait(pilot, "5")
            app.screen._gauges = Gauges(lambda: gpus)
            await again(pilot)
            text = shown(app)
            assert f"worker {os.getpid()} is working" in text
            assert "3 trials ended" in text
            assert "1 in the last hour" in text
            assert "1,234 images/s" in text
            assert "slot 1  cpu  1 thread  adam " in text
            assert "epoch 2/4 (38 %)" in text
            assert "waits: cuda:1 has 0.0 GiB free" in text
            assert "free" in text
            assert "cuda:0 NVIDIA [red]H200[/]" in text
            assert "█░" in text
            assert "40.0 of 140.0 GiB  busy 87 %" in text
            assert "8.0 of 8.0 GiB" in text
            assert "heartbeat" not in text, "as it should be, it is not worth a word"

    asyncio.run(story())


def test_thirty_two_lanes_are_one_line_and_what_runs_as_far_as_there_is_room(waiting, db, work):  # noqa: F811
    pulse = training(db)
    work(db, pulse)
    told = worker_state.last_heartbeat(db).worker
    lanes = worker_state.LaneRow(32, None, True)
    rows = [
        worker_state.SlotRow(n, "cuda:0", 1, pulse.trial_id if n == 0 else f"{n:064x}" if n < 20 else None, None, lanes)
        for n in range(32)
    ]
    worker_state.beat(db, replace(told, slots=tuple(rows)), [pulse.live(512 << 20)])

    async def story():
        async with opened(waiting, SMALL) as (app, pilot):
            await press_and_wait(pilot, "5")
            await again(pilot)
            text = shown(app)
            assert "cuda:0  lanes 20 of 32 busy (auto, settled)" in text
            assert "epoch 2/4 (38 %)" in text
            assert "more: innate worker status" in text
            assert "slot " not in text, "idle lanes are counted"
            assert "log:" in text, "half of the screen is the log's"

    asyncio.run(story())


@SIZED
def test_a_late_heartbeat_and_a_silent_worker(waiting, db, work, size, monkeypatch):  # noqa: F811
    work(db, state="idle")
    db.execute("UPDATE worker SET beat_mark = beat_mark - 14")

    async def story():
        async with opened(waiting, size, press=["5"]) as (app, pilot):
            told = re.search(r"last heartbeat (\d+) s ago", shown(app))
            assert told is not None
            assert int(told[1]) >= 14
            monkeypatch.setattr(status, "_SILENT_BEATS", 1.0)
            await again(pilot)
            assert "does not answer: no heartbeat since" in shown(app)
            assert "stopped or hung" in flat(app)

    asyncio.run(story())


def test_more_slots_than_room_and_a_driver_in_trouble(waiting, db, work):  # noqa: F811
    work(db, state="idle", slots=40)

    def broken():
        raise RuntimeError("GPU is lost")

    async def story():
        async with opened(waiting, press=["5"]) as (app, pilot):
            app.screen._gauges = Gauges(broken)
            await again(pilot)
            text = shown(app)
            assert "the NVIDIA driver says: GPU is lost" in text
            assert "more slots: innate worker status" in text
            assert app.screen.query_one(LogView).size.height >= 8

    asyncio.run(story())


@SIZED
def test_the_log_follows_until_one_scrolls_up(logged, size):
    async def story():
        async with opened(logged, size, press=["5"]) as (app, pilot):
            log = app.screen.query_one(LogView)
            assert "log: 60 lines, following" in shown(app)
            assert "02-03 04:06 ERROR the [bold]end[/bold] is near" in shown(app)
            assert "half a line" not in shown(app)
            with logged.worker_log.open("a") as file:
                file.write("tten\n2001-02-03 04:07:00,000 INFO fresh\n")
            await again(pilot)
            assert "fresh" in shown(app)
            assert "half a line that is still being written" in shown(app)
            if size == SMALL:
                await press_and_wait(pilot, "k")
                assert not log.following
                assert "not following (F follows)" in shown(app)
                with logged.worker_log.open("a") as file:
                    file.write("2001-02-03 04:08:00,000 INFO later\n")
                await again(pilot)
                assert "later" not in shown(app)
                await press_and_wait(pilot, "j", "j")
                assert log.following
                assert "later" in shown(app)
                await press_and_wait(pilot, "pageup", "g")
                assert "line 0" in shown(app)
                await press_and_wait(pilot, "pagedown", "G")
                assert log.following
            await press_and_wait(pilot, "F")
            assert "not following" in shown(app)
            await press_and_wait(pilot, "F")
            assert ", following" in shown(app)

    asyncio.run(story())


def test_a_rotated_log_is_read_from_the_new_file(logged):
    async def story():
        async with opened(logged, press=["5"]) as (app, pilot):
            logged.worker_log.rename(logged.worker_log.with_name("worker.log.1"))
            logged.worker_log.write_text("2001-02-03 05:00:00,000 INFO anew\n")
            await again(pilot)
            assert "log: 1 lines" in shown(app)
            assert "anew" in shown(app)

    asyncio.run(story())


@SIZED
def test_search_finds_highlights_and_steps(logged, size):
    async def story():
        async with opened(logged, size, press=["5", "n"]) as (app, pilot):
            assert "nothing is sought; / searches" in shown(app)
            await press_and_wait(pilot, "slash", *"ODD")
            assert app.screen.query_one("#search", Input).has_focus
            assert "29 lines match" in shown(app)
            await press_and_wait(pilot, "enter")
            log = app.screen.query_one(LogView)
            assert log.has_focus
            assert not log.following
            assert "'ODD': 29 of 29 lines match" in shown(app)
            await press_and_wait(pilot, "N")
            assert "28 of 29" in shown(app)
            await press_and_wait(pilot, "n", "n")
            assert "1 of 29" in shown(app), "around the end"
            assert "line 1 odd" in shown(app)
            await press_and_wait(pilot, "escape")
            assert "match" not in shown(app)
            await press_and_wait(pilot, "slash", *"[x", "enter")
            assert "no line has '[x'" in shown(app)

    asyncio.run(story())


@SIZED
def test_stop_asks_and_again_kills(waiting, db, work, size, monkeypatch):  # noqa: F811
    work(db, state="idle")
    asked = []

    def stop(home, *, now, patience):
        asked.append(now)
        if not now:
            raise control.StillStopping("still stopping")
        return 77

    monkeypatch.setattr(control, "stop", stop)

    async def story():
        async with opened(waiting, size, press=["5", "S"]) as (app, pilot):
            assert isinstance(app.screen, Confirm)
            assert "Stop the worker" in shown(app)
            await press_and_wait(pilot, "n")
            assert asked == []
            await press_and_wait(pilot, "S", "y")
            assert "S again kills it" in shown(app)
            work(db, state="stopping", reason="finishing batches")
            await again(pilot)
            assert "is stopping: finishing batches" in shown(app)
            await press_and_wait(pilot, "S")
            assert "Kill the worker" in shown(app)
            await press_and_wait(pilot, "y")
            assert "worker 77 stopped; w starts one again   ≡ innate worker stop --now" in shown(app)
            assert asked == [False, True]

    asyncio.run(story())


@SIZED
def test_start_pause_resume_and_drain(waiting, db, work, size, monkeypatch):  # noqa: F811
    monkeypatch.setattr(control, "start", lambda home, slots, crafting: control.Started(78, already=True))

    async def story():
        async with opened(waiting, size, press=["5", "w"]) as (app, pilot):
            assert "a worker is running already (pid 78)" in shown(app)
            await press_and_wait(pilot, "z", *"tea", "enter")
            await again(pilot)
            assert "the queue is paused: tea; z resumes, w starts one" in flat(app)
            await press_and_wait(pilot, "z")
            assert worker_state.paused(db) is None
            work(db, state="draining", reason="finishing what runs, then ending")
            await again(pilot)
            assert "is draining: finishing what runs" in shown(app)
            asked = []
            app.screen.steer = lambda change, done, command: asked.append(change)
            await press_and_wait(pilot, "z")
            assert asked == [Resume()], "the same key takes a drain back"
            await press_and_wait(pilot, "d", "y")
            assert asked == [Resume(), Drain()]

    asyncio.run(story())


def test_what_cannot_start_says_why(waiting, monkeypatch):
    from core.errors import Unavailable

    def start(home, slots, crafting):
        raise Unavailable("an innate run (pid 5) owns this home")

    monkeypatch.setattr(control, "start", start)

    async def story():
        async with opened(waiting, press=["5", "w"]) as (app, _):
            assert "an innate run (pid 5) owns this home" in shown(app)

    asyncio.run(story())


def test_under_db_nothing_is_steered(waiting, db):
    async def story():
        async with opened(waiting, read_only=True, press=["5"]) as (app, pilot):
            for key in ("w", "S", "z", "d"):
                app.screen.say("")
                await press_and_wait(pilot, key)
                assert "--db opens a database to read only" in shown(app), key

    asyncio.run(story())


def test_every_action_has_its_command(waiting):
    async def story():
        async with opened(waiting, press=["5"]) as (app, pilot):
            screen = app.screen
            assert {key.action for key in screen.KEYS} - screen.equivalents().keys() == {"next_match", "match_before"}
            await press_and_wait(pilot, "e")
            assert "innate worker logs -f" in shown(app)

    asyncio.run(story())


def test_nothing_is_drawn_again_while_nothing_changes(logged, db, monkeypatch):
    frozen = Gauges(list).read(logged)
    monkeypatch.setattr(Gauges, "read", lambda self, home: frozen)

    async def story():
        async with opened(logged, press=["5"]) as (app, pilot):
            await again(pilot)
            drawn = []
            for widget in app.screen.query("*"):
                monkeypatch.setattr(widget, "refresh", lambda *a, widget=widget, **k: drawn.append(widget) or widget)
            await again(pilot)
            assert drawn == []

    asyncio.run(story())


def test_the_screen_measures_only_in_front(waiting, monkeypatch):
    looks = []
    original = Gauges.read
    monkeypatch.setattr(Gauges, "read", lambda self, home: looks.append(1) or original(self, home))

    async def story():
        async with opened(waiting, press=["5", "3"]) as (_, pilot):
            before = len(looks)
            assert before
            await pilot.pause(2.2)
            assert len(looks) == before

    asyncio.run(story())


def test_a_machine_without_gpus_is_not_asked_each_second(home):
    asked = []
    gauges = Gauges(lambda: asked.append(1) or [])
    first, second = gauges.read(home), gauges.read(home)
    assert asked == [1]
    assert first.cores is None
    assert len(second.cores) >= 1
    assert second.memory_total > second.memory_used > 0


def test_reading_on_takes_whole_lines_and_notes_a_shorter_file(tmp_path):
    path = tmp_path / "log"
    assert read_on(path, None) is None
    path.write_bytes(b"one\ntw")
    first = read_on(path, None)
    assert (list(first.lines), first.fresh) == (["one"], True)
    path.write_bytes(b"one\ntwo\nthree\n")
    second = read_on(path, first.place)
    assert (list(second.lines), second.fresh) == (["two", "three"], False)
    assert list(read_on(path, second.place).lines) == []
    path.write_bytes(b"x\n")
    third = read_on(path, second.place)
    assert (list(third.lines), third.fresh) == (["x"], True)
    path.write_bytes(b"\xff\xfe\n" + b"y" * (1 << 19) + b"\nlast\n")
    assert list(read_on(path, None).lines) == ["last"], "not from the middle of a line"


def test_lines_are_shortened():
    assert shown_line("2001-02-03 04:05:06,123 INFO hello", "2001-02-03") == LogLine("04:05:06 hello")
    warned = shown_line("2001-02-03 04:05:06,123 WARNING hello", "2001-02-04")
    assert warned == LogLine("02-03 04:05 WARNING hello")
    assert shown_line("2001-02-03 04:05:06,123 ERROR hello", "2001-02-03").bad
    assert shown_line("Traceback\t(most", "") == LogLine("Traceback   (most")
