"""How quick, quiet and small the screens are, on ten thousand trials and a busy worker. `make bench` prints the table."""

import asyncio
import os
import pty
import select
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from fcntl import ioctl

import psutil
import pytest

from storage.home import Home
from tests import many
from tests.app.tui.conftest import calm, opened
from tests.conftest import innate_command

pytestmark = pytest.mark.benchmark

KEYS = [
    *("j", "k", "pagedown", "G", "g", "space", "slash", "a", "escape", "s", "escape", "3", "j", "4", "right", "5"),
    *("2", "j", "1", "question_mark", "escape", "j", "enter", "right", "escape"),
]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("big") / "home")
    many.fill(home)
    return home


class Terminal:
    """The program in a pseudo-terminal; `read` counts what it writes."""

    def __init__(self, home, columns=80, rows=24):
        self.begun = time.perf_counter()
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app.main", "--home", str(home.root)],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(theirs)
        self.descriptor = ours

    def read(self, seconds, until=None):
        """What comes within `seconds`, or until `until` has come."""
        content, deadline = b"", time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0 and (until is None or until not in content):
            if select.select([self.descriptor], [], [], left)[0]:
                content += os.read(self.descriptor, 1 << 16)
        return content

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        os.close(self.descriptor)


def test_first_paint_on_ten_thousand_trials(big):
    times = []
    for _ in range(5):
        terminal = Terminal(big)
        content = terminal.read(20, until=b"10,000 runs")
        times.append(time.perf_counter() - terminal.begun)
        assert b"10,000 runs" in content
        terminal.close()
    print(
        f"\nfirst paint of 10,000 runs: median {statistics.median(times):.2f} s of {len(times)}, most {max(times):.2f} s"
    )


def busy_writer(path, stop):
    """What a worker with two trials writes: a beat and progress each second, and evaluations in between."""
    db = sqlite3.connect(path, timeout=30)
    trials = [row[0] for row in db.execute("SELECT trial_id FROM study_trial WHERE state = 'queued' LIMIT 50")]
    turn = 0
    while not stop.is_set():
        turn += 1
        trial = trials[turn % len(trials)]
        db.execute("INSERT OR REPLACE INTO epoch VALUES (?, ?, 0.5, 0.5, NULL, 0.01, 1.0)", (trial, turn))
        db.execute("UPDATE study_trial SET reason = ? WHERE trial_id = ?", (f"turn {turn}", trial))
        db.commit()
        stop.wait(0.1)


def test_no_key_waits_while_a_worker_is_busy(big):
    async def story():
        loop = asyncio.get_running_loop()
        late, answers = [], []

        async def watch():
            while True:
                begun = loop.time()
                await asyncio.sleep(0.005)
                late.append(loop.time() - begun - 0.005)

        async with opened(big) as (_, pilot):
            stop = threading.Event()
            writer = threading.Thread(target=busy_writer, args=(big.database, stop))
            writer.start()
            watcher = asyncio.create_task(watch())
            for _ in range(3):
                for key in KEYS:
                    begun = loop.time()
                    await pilot.press(key)
                    answers.append((loop.time() - begun, key))
                    await asyncio.sleep(0.15)
            await calm(pilot)
            watcher.cancel()
            stop.set()
            writer.join()
        middle, (most, key) = statistics.median(seconds for seconds, _ in answers), max(answers)
        print(f"\n{len(answers)} keys on 10,000 runs with a busy writer: median {1000 * middle:.0f} ms")
        print(f"most {1000 * most:.0f} ms ({key}); longest stall of the event loop {1000 * max(late):.0f} ms")

    asyncio.run(story())


def test_bytes_and_processor_while_idle_and_while_training(tmp_path):
    home = Home(tmp_path / "home")
    terminal = Terminal(home)
    terminal.read(5)
    process = psutil.Process(terminal.process.pid)
    used = sum(process.cpu_times()[:2])
    idle = len(terminal.read(20))
    used = sum(process.cpu_times()[:2]) - used
    print(f"\nidle: {idle / 20:.0f} bytes/s, {used / 20:.1%} of a core, {process.memory_info().rss / 2**20:.0f} MiB")
    study = tmp_path / "s.toml"
    study.write_text(
        'name = "s"\ndataset = "digits"\narchitectures = ["mlp"]\noptimizers = ["adam", "sgd"]\nactivations = ["relu"]\n'
        "[training]\nepochs = 2000\n"
    )
    innate_command("run", str(study), "--detach", "--slots", "1", home=home.root)
    try:
        for key, name in (("1", "runs"), ("3", "queue"), ("5", "worker")):
            os.write(terminal.descriptor, key.encode())
            terminal.read(6)
            used = sum(process.cpu_times()[:2])
            bytes_written = len(terminal.read(20))
            used = sum(process.cpu_times()[:2]) - used
            print(f"training, {name}: {bytes_written / 20:.0f} bytes/s, {used / 20:.1%} of a core")
    finally:
        innate_command("worker", "stop", "--now", home=home.root)
        terminal.close()


def test_memory_after_an_hour_of_polling(big):
    async def story():
        process = psutil.Process()
        async with opened(big) as (app, pilot):
            writer = sqlite3.connect(big.database, timeout=30)
            for round_ in range(2):
                before = process.memory_info().rss
                for _ in range(1800):
                    writer.execute("INSERT OR REPLACE INTO setting VALUES ('turn', hex(randomblob(8)))")
                    writer.commit()
                    await app._look()
                    await pilot.pause()
                print(f"\nhalf-hour {round_ + 1} of polling: {(process.memory_info().rss - before) / 2**20:+.1f} MiB")

    asyncio.run(story())
