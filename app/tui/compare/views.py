"""What Compare shows, asked of the database on the readers' thread; `compare_tables` lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.configuration import configuration
from app.report.missing import waiting_note
from app.report.study_numbers import (
    HeatTable,
    Placed,
    Point,
    Robustness,
    Scope,
    heat_table,
    points,
    ranking,
    robustness,
)
from app.report.variants import constant
from core.errors import NotFound
from storage import listing, queries
from storage.rows import ListedTrial
from storage.studies import latest_study, studies

if TYPE_CHECKING:
    from sqlite_utils import Database

VIEWS = ("bars", "heatmap", "curves", "tradeoff", "differences")
TITLES = ("Bars", "Heatmap", "Curves", "Trade-off", "Differences")
MOST_RUNS = 40
"""Runs whose differences are looked for when none is marked: more than any terminal has room for."""


@dataclass(frozen=True)
class Choice:
    """What was chosen: `study` None is the one run last; `marks` are (study, trial id), with `only_marked` all that counts
    if there are any."""

    view: str
    study: str | None
    score: str
    robust: str
    factors: tuple[str, str] | None
    attack: str | None
    marks: tuple[tuple[str, str], ...]
    only_marked: bool


@dataclass(frozen=True)
class Differences:
    """The scores of some runs and the keys whose values differ among them; `values` by key and run."""

    runs: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    values: Mapping[tuple[str, tuple[str, str]], str]
    scores: tuple[str, ...]
    left_out: int


Content = tuple[Placed, ...] | HeatTable | Robustness | tuple[Point, ...] | Differences | None


@dataclass(frozen=True)
class Loaded:
    """The answer to a Choice; `study` None where there is none at all."""

    choice: Choice
    study: str | None
    content: Content
    about: str = ""
    """What all variants of the study have in common."""
    unfinished: int = 0
    waiting: str | None = None
    """What scored runs of it still wait for."""
    marked: frozenset[str] = frozenset()
    """The variants of the marked runs in this study."""
    marked_runs: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()


def load(db: Database, choice: Choice) -> Loaded:
    """The data of one view. A study that is gone gives way to the one run last."""
    listed = {row.study: row for row in studies(db)}
    study = choice.study if choice.study in listed else latest_study(db)
    if study is None:
        return Loaded(choice, None, None)
    here = listing.some(db, [(study, trial_id) for trial_id in dict.fromkeys(trial for _, trial in choice.marks)])
    marked = frozenset(row.variant_id for row in here)
    scope = Scope(db, study, variants=(marked or None) if choice.only_marked else None)
    rows = queries.scores(db, study, "innate")
    content: Content
    attacks: tuple[str, ...] = ()
    match choice.view:
        case "bars":
            content = tuple(ranking(scope, choice.score)) or None
        case "heatmap":
            content = heat_table(scope, choice.score, choice.factors)
        case "curves":
            try:
                found = robustness(scope, choice.attack)
            except NotFound:  # chosen in another study
                found = robustness(scope, None)
            attacks = found.attacks
            content = found if found.lines else None
        case "tradeoff":
            content = tuple(points(scope, choice.robust)) or None
        case _:
            content = differences(db, study, choice.marks if choice.only_marked else ())
    return Loaded(
        choice,
        study,
        content,
        ", ".join(part for part in (listed[study].dataset, constant(rows) if rows else "") if part),
        listed[study].queued + listed[study].running,
        waiting_note(db, study),
        marked,
        tuple(row.trial_id for row in here),
        attacks,
    )


def differences(db: Database, study: str, marks: Sequence[tuple[str, str]]) -> Differences | None:
    """Of the marked runs of any study, else of the first runs of this one. None where there are not two."""
    if marks:
        rows = listing.some(db, marks)
        left_out = 0
    else:
        chosen = listing.EVERYTHING.narrowed("study", study)
        rows = listing.page(db, chosen, "study", limit=MOST_RUNS)
        left_out = listing.count(db, chosen) - len(rows)
    if len(rows) < 2:
        return None
    configs = {(row.study, row.trial_id): {"study": row.study, **configuration(row)} for row in rows}
    keys = list(dict.fromkeys(key for config in configs.values() for key in config))
    differing = tuple(key for key in keys if len({config.get(key, "-") for config in configs.values()}) > 1)
    scores = {(row.study, row.trial_id): _outcome(row) for row in rows}
    names = tuple(next(iter(scores.values())))
    values = {(key, run): config.get(key, "-") for run, config in configs.items() for key in differing}
    values |= {(name, run): outcome[name] for run, outcome in scores.items() for name in names}
    return Differences(tuple(configs), differing, values, names, left_out)


def _outcome(row: ListedTrial) -> dict[str, str]:
    def share(value: float | None, scale: float = 100.0) -> str:
        return "-" if value is None else f"{scale * value:.1f}"

    return {
        "innate": share(row.innate, 1.0),
        "trust": row.trust or row.state,
        "clean %": share(row.clean_accuracy),
        "worst %": share(row.worst_case),
    }
