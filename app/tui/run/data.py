"""What the detail of a run knows, asked on the readers' thread: its row, everything stored about it, a picture, its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.tui.widgets.log import LogLine
from core.errors import NotFound
from storage import listing
from storage.rows import ListedTrial, ResultRow
from storage.trial import TrialDetail, examples, trial_detail

if TYPE_CHECKING:
    from sqlite_utils import Database

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
    """Everything that one load brings."""

    row: ListedTrial
    detail: TrialDetail
    tried: tuple[str, ...] = ()
    """The attacks that were run on it."""
    example: Example | None = None
    log: tuple[LogLine, ...] = ()


def load(db: Database, study: str, trial_id: str, question: Question) -> Run | None:
    """The run as it is now, and what the tab in front needs beside; None when it has been deleted meanwhile."""
    row = listing.one(db, study, trial_id)
    if row is None:
        return None
    detail = trial_detail(db, trial_id)
    tried = tuple(dict.fromkeys(result.attack for result in detail.results))
    example = _example(db, trial_id, question, attacked=bool(tried)) if question.tab == "examples" else None
    return Run(row, detail, tried, example, _log(db, trial_id) if question.tab == "log" else ())


def _example(db: Database, trial_id: str, question: Question, *, attacked: bool) -> Example:
    from app.report import images

    try:
        rows = examples(db, trial_id, question.attack)
    except NotFound:
        if not attacked:
            return Example(0, 0, "", "", "Not attacked yet: adversarial examples are kept as attacks succeed.")
        by = question.attack or "the attacks"
        return Example(0, 0, "", "", f"No adversarial image: nothing broke it under {by}.")
    index = question.index % len(rows)
    row, (width, height) = rows[index], question.room
    picture = images.in_terminal(row, width, colour=question.colour, height=height, titled=True)
    return Example(index, len(rows), images.caption(row), picture)


def results_of(detail: TrialDetail, study: str) -> list[ResultRow]:
    """Its results in one study: those of the study's attacks, then those added to this run."""
    return sorted((row for row in detail.results if row.study == study), key=lambda row: row.added)


def _log(db: Database, trial_id: str) -> tuple[LogLine, ...]:
    from app.worker.narration import story

    return tuple(map(LogLine, story(db, trial_id)))
