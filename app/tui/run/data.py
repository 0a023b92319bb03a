"""What the detail of a run knows, asked on the readers' thread: its row, everything stored about it, a picture, its log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.tui.widgets.log import LogLine
from app.worker.log import last_lines
from core.errors import NotFound
from storage import listing, queries

if TYPE_CHECKING:
    from sqlite_utils import Database

Row = Mapping[str, Any]

TABS = ("overview", "training", "attacks", "examples", "config", "log")
TITLES = ("Overview", "Training", "Attacks", "Examples", "Config", "Log")


@dataclass(frozen=True)
class Question:
    """Which tab, and of the examples: which attack (None: all), which one, and the room in (columns, lines)."""

    tab: str
    attack: str | None
    index: int
    room: tuple[int, int]
    colour: bool


@dataclass(frozen=True)
class Example:
    """One adversarial image of `count`; without one, `note` says why in a sentence."""

    index: int
    count: int
    caption: str
    picture: str
    note: str = ""


@dataclass(frozen=True)
class Run:
    """Everything that one load brings; `row` None when the run has been deleted meanwhile."""

    row: Row | None
    detail: Row
    tried: tuple[str, ...] = ()
    """The attacks that were run on it."""
    example: Example | None = None
    log: tuple[LogLine, ...] = ()


class TrialLog:
    """The lines of the worker's log about one trial, read again only when a file has changed."""

    def __init__(self, path: Path, trial_id: str) -> None:
        self._path = path
        self._short = trial_id[:10]
        self._stamp: object = None
        self._lines: tuple[LogLine, ...] = ()

    def lines(self) -> tuple[LogLine, ...]:
        """Oldest first, each without the name of the trial, which is the same in all."""
        stamp = tuple(_stamp(path) for path in (self._path.with_name(self._path.name + ".1"), self._path))
        if stamp != self._stamp:
            found = last_lines(self._path, 1_000_000)
            self._lines = tuple(_shortened(line, self._short) for line in found if self._short in line)
            self._stamp = stamp
        return self._lines


def load(db: Database, study: str, trial_id: str, question: Question, log: TrialLog) -> Run:
    """The run as it is now, and what the tab in front needs beside."""
    row = listing.one(db, study, trial_id)
    if row is None:
        return Run(None, {})
    detail = queries.trial_detail(db, trial_id)
    tried = tuple(dict.fromkeys(result["attack"] for result in detail["results"]))
    example = _example(db, trial_id, question, attacked=bool(tried)) if question.tab == "examples" else None
    return Run(row, detail, tried, example, log.lines() if question.tab == "log" else ())


def _example(db: Database, trial_id: str, question: Question, *, attacked: bool) -> Example:
    from app.report import images

    try:
        rows = queries.examples(db, trial_id, question.attack)
    except NotFound:
        if not attacked:
            return Example(0, 0, "", "", "Not attacked yet: adversarial examples are kept as attacks succeed.")
        by = question.attack or "the attacks"
        return Example(0, 0, "", "", f"No adversarial image: nothing broke it under {by}.")
    index = question.index % len(rows)
    row, (width, height) = rows[index], question.room
    picture = images.in_terminal(row, width, colour=question.colour, height=height, titled=True)
    return Example(index, len(rows), images.caption(row), picture)


def results_of(run: Run, study: str) -> list[Row]:
    """Its results in one study: those of the study's attacks, then those added to this run."""
    rows: Sequence[Row] = run.detail["results"]
    return sorted((row for row in rows if row["study"] == study), key=lambda row: row["added"])


def _shortened(line: str, short: str) -> LogLine:
    match = re.match(rf"(\S+ [\d:]+)(?:,\d+)? (\w+) {short}.*?: (.*)", line)
    if match is None:
        return LogLine(line)
    moment, level, text = match.groups()
    return LogLine(f"{moment}  {text}" if level == "INFO" else f"{moment}  {level} {text}")


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
