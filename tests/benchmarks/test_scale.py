"""Table (s): how the cost of each command and of each step of a worker grows with the trials of one file, and what a trial takes.

INNATE_BENCH_TRIALS=1000 gives a first look in a minute, 10000 in five; INNATE_BENCH_HOMES keeps the filled homes in a folder."""

import math
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

from app.tui.lab.knobs import Knobs
from app.tui.lab.loaded import NameBook, Question, load
from storage import brief, database, deletion, grouping, listing, queue, submitting
from storage.grouping import Reading
from storage.home import Home
from tests.benchmarks import hoard
from tests.benchmarks.tables import show

pytestmark = pytest.mark.benchmark

SIZES = [size for size in (1_000, 10_000, 100_000) if size <= int(os.environ.get("INNATE_BENCH_TRIALS", "100000"))]
WRITTEN = 40
"""Trials that are written to find what one costs."""


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor and of the clock; `memory`: MiB at the peak, of a command."""

    cpu: float
    wall: float
    memory: float | None = None


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Trials → a home with as many."""
    kept = os.environ.get("INNATE_BENCH_HOMES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("scale")
    found = {size: Home(folder / str(size)) for size in SIZES}
    for size, home in found.items():
        if not home.database.exists():
            took = hoard.fill(home, size)
            first, last = (1000 * sum(part) / len(part) for part in (took[:5], took[-5:]))
            print(
                f"\n{size:,} trials written: the first took {first:.1f} ms of the processor each, the last {last:.1f} ms"
            )
    return found


LAUNCHED = """
import resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss / 1024)
sys.exit(done.returncode)
"""
"""A small process between: of a child the kernel counts what its parent held when it was made, too."""


def asked(home: Home, *arguments: str) -> Cost:
    """Of the command, its start included."""
    command = [str(Path(sys.executable).parent / "innate"), "--home", str(home.root), *arguments]
    done = subprocess.run([sys.executable, "-S", "-c", LAUNCHED, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Cost(*map(float, done.stdout.split()))


def timed(act, each=1):
    begun = hoard.processor(), time.perf_counter()
    act()
    return Cost((hoard.processor() - begun[0]) / each, (time.perf_counter() - begun[1]) / each)


def exponent(costs, start):
    """Of the cost between the last two sizes, without that of starting: 0 does not grow, 1 is as fast as the trials."""
    if len(costs) < 2:
        return "-"
    less, more = (cost.cpu - start for cost in costs[-2:])
    return f"{math.log10(more / less):.2f}" if less > 0.02 * (start or 0.05) and more > 0 else "-"


def table(title, costs, note, start=0.0, unit=1.0):
    """`costs`: what → a cost for each size; `start` is what is in each of them that has nothing to do with trials."""
    show(
        title,
        ("", *(f"{size:,}" for size in SIZES), "exponent", "wall", "MiB"),
        [
            (
                what, *(f"{unit * cost.cpu:.2f}" for cost in found), exponent(found, start), f"{unit * found[-1].wall:.2f}",
                "" if found[-1].memory is None else f"{found[-1].memory:.0f}",
            )
            for what, found in costs.items()
        ],
        note,
    )  # fmt: skip


def test_what_commands_cost(homes, tmp_path):
    costs = {}
    for size, home in homes.items():
        db = sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)
        (trial,) = db.execute(
            "SELECT trial_id FROM study_trial WHERE state = 'done' ORDER BY position LIMIT 1"
        ).fetchone()
        db.close()
        file = tmp_path / f"{size}.toml"
        file.write_text(tomli_w.dumps(hoard.document(size)))
        commands = [
            "--version", "studies", "trials --limit 20", "trials --state failed", "trials --where optimizer=adam", "trials",
            "trials --json", "trials --filter clean>0.9 --sort innate --limit 20", f"show {trial}", "status", "status --json",
            "worker status", f"plan {file} --yes", "results", "results --json", "results --by optimizer", "chart scores",
            "findings", f"export csv {tmp_path / 'all.csv'} --force", f"export jsonl {tmp_path / 'all.jsonl'} --force",
            f"export sqlite {tmp_path / 'all.db'} --force",
        ]  # fmt: skip
        for command in commands:
            what = command.replace(f" {trial}", " TRIAL").replace(f" {file}", " SPEC").replace(f" {tmp_path}/", " ")
            costs.setdefault(what, []).append(asked(home, *command.split()))
    start = min(cost.cpu for cost in costs["--version"])
    table("(s) Commands: seconds of the processor, by trials in the file; wall and memory of the largest", costs,
          f"Start-up, {start:.2f} s, is in each and taken off for the exponent.", start)  # fmt: skip


def test_what_a_worker_and_its_clients_cost(homes):
    costs = {}
    for home in homes.values():
        db = database.connect(home.database)
        more = hoard.document(1_000, "more", architectures=[{"name": "mlp", "hidden": [4_000]}])
        plan = hoard.planned(home, more)
        db.conn.execute("BEGIN IMMEDIATE")  # all of it is undone
        pen = hoard.Scribe(db, home)
        steps = {
            "claim, record, settle one": lambda: timed(lambda: [pen.done() for _ in range(WRITTEN)], WRITTEN),  # noqa: B023
            "preview of 1,000 more": lambda: timed(lambda: submitting.preview(db, plan)),  # noqa: B023
            "submission of 1,000 more": lambda: timed(lambda: submitting.submit(db, plan)),  # noqa: B023
            "next of the last study": lambda: timed(lambda: queue.next_trial(db, "more")),  # noqa: B023
        }
        ids = [str(row[0]) for row in db.execute("SELECT trial_id FROM study_trial WHERE state = 'queued' LIMIT 100")]
        done = [str(row[0]) for row in db.execute("SELECT trial_id FROM study_trial WHERE state = 'done' LIMIT 20")]
        steps |= {
            "priority of one": lambda: timed(lambda: queue.prioritise(db, ids, 3), len(ids)),  # noqa: B023
            "cancelling one": lambda: timed(lambda: queue.cancel(db, ids, None), len(ids)),  # noqa: B023
            "queueing one again": lambda: timed(lambda: queue.retry(db, ids), len(ids)),  # noqa: B023
            "cancelling the 1,000": lambda: timed(lambda: queue.cancel(db, None, "more")),  # noqa: B023
            "deleting the 1,000": lambda: timed(lambda: deletion.delete_study(db, "more")),  # noqa: B023
            "deleting one that is done": lambda: timed(lambda: deletion.delete_trials(db, done), len(done)),  # noqa: B023
        }
        for what, step in steps.items():
            costs.setdefault(what, []).append(step())
        db.conn.execute("ROLLBACK")
        db.conn.close()
    table(
        "(s) A worker and its clients: milliseconds of the processor",
        costs,
        "All in one transaction: no disk.",
        unit=1000,
    )
    for what in ("claim, record, settle one", "priority of one", "deleting one that is done"):
        assert costs[what][-1].cpu < 2.5 * costs[what][0].cpu + 0.001, what


def test_what_the_lab_costs(homes):
    costs = {}
    for home in homes.values():
        db = database.connect(home.database, read_only=True)
        relu, clean = map(listing.parse_filter, ("activation=relu", "clean>0.5"))
        by, at = ("optimizer",), Reading("innate")
        asks = {
            "the first, once for each connection": lambda: brief.keep_up(db),  # noqa: B023
            "first page of groups": lambda: load(db, Question(Knobs(by=by), listing.EVERYTHING, ()), NameBook()),  # noqa: B023
            "first page": lambda: listing.page(db, limit=100),  # noqa: B023
            "filtered by a factor": lambda: listing.page(db, relu, limit=100),  # noqa: B023
            "filtered by a score": lambda: listing.page(db, clean, limit=100),  # noqa: B023
            "sorted by a score": lambda: listing.page(db, order="innate", descending=True, limit=100),  # noqa: B023
            "sorted by training time": lambda: listing.page(db, order="seconds", descending=True, limit=100),  # noqa: B023
            "groups": lambda: grouping.groups(db, "hoard", listing.EVERYTHING, by, at, 100),  # noqa: B023
        }
        for what, ask in asks.items():
            costs.setdefault(what, []).append(timed(ask))
        db.conn.close()
    table("(s) The Lab: milliseconds of the processor", costs, "Each asked once, on its reader's thread.", unit=1000)


def test_what_a_trial_takes(homes):
    """In the largest file, its indexes with their tables."""
    size, home = list(homes.items())[-1]
    db = sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)
    rows = db.execute(
        "SELECT m.tbl_name, sum(d.pgsize), sum(d.pgsize * (m.type = 'index')) FROM dbstat d "
        "JOIN sqlite_master m ON m.name = d.name "
        "GROUP BY m.tbl_name ORDER BY 2 DESC"
    ).fetchall()
    whole = sum(row[1] for row in rows)
    show(
        f"(s) Bytes for each of {size:,} trials: {whole / size:,.0f}",
        ("table", "bytes", "of them indexes", "share"),
        [
            (name, f"{taken / size:,.0f}", f"{index / size:,.0f}", f"{taken / whole:.1%}")
            for name, taken, index in rows[:18]
        ],
        f"Six ledgers over {hoard.SAMPLES:,} images, {hoard.EPOCHS} epochs; no adversarial images (`example`), no audit.",
    )
