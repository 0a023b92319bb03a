"""What the grouped table is made of, asked of the database on the readers' thread: groups, what is open below them, marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.grid import SINGLE
from app.tui.lab.knobs import Knobs, reading
from app.tui.lab.rows import MOST_ROWS, Found, Names, Path, choices_of, keys_below, part_of, parts
from core.errors import NotFound
from core.names import FACTORS
from storage import grouping
from storage.database import data_version
from storage.grouping import Group, Groups, Reading, Weakness, placed
from storage.listing import EVERYTHING, Filter
from storage.rows import StudyRow
from storage.studies import latest_study, score_grid, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_TRIALS = 2_000
"""Of one row that are marked, changed or looked at together."""
_KEPT = 64
"""Answers that are remembered, so that opening a row, or a step of ε and back, costs nothing again."""


@dataclass(frozen=True)
class Question:
    knobs: Knobs
    chosen: Filter
    marks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Loaded:
    """The answer: the knobs as they are taken where something was left open, and the groups by the path of the row above them."""

    study: StudyRow
    by: tuple[str, ...]
    score: str
    eps: float | None
    """None where the score is of no single ε."""
    radii: tuple[float, ...]
    """Every ε that can be chosen."""
    grid: tuple[float, ...]
    """What a mean over ε goes over."""
    reading: Reading
    chosen: Filter
    names: Names
    found: Mapping[Path, Found]
    whole: Groups
    """At the top, with all of their sums."""
    opened: frozenset[Path]
    marked: Mapping[Path, int]
    """Row → its marked trials."""
    baseline: Path
    baseline_trials: tuple[str, ...]
    weak: tuple[Weakness, ...]
    """Of the best row."""

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.whole.first

    @property
    def models(self) -> int:
        """How many trials have the number."""
        return self.whole.valued


class NameBook:
    """What the choices of studies are called, which changes only when a study does, and groups that were asked for, as long as
    nobody has written since. For one thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Names]] = {}
        self._asked: dict[object, Groups] = {}
        self._as_of: object = None

    def of(self, db: Database, study: str) -> Names:
        now = (study_row(db, study).run_at, grouping.size(db, study))
        if study not in self._known or self._known[study][0] != now:
            self._known[study] = now, Names.of(grouping.levels(db, study))
        return self._known[study][1]

    def groups(self, db: Database, study: str, chosen: Filter, by: Sequence[str], reading: Reading) -> Groups:
        """`storage.grouping.groups`, the best MOST_ROWS of them."""
        asked = (study, chosen, tuple(by), reading)
        now = (id(db), data_version(db))
        if now != self._as_of or len(self._asked) > _KEPT:
            self._as_of, self._asked = now, {}
        if asked not in self._asked:
            self._asked[asked] = grouping.groups(db, *asked, MOST_ROWS)
        return self._asked[asked]


def load(db: Database, question: Question, book: NameBook) -> Loaded | None:
    """None where there is no study. One that is gone gives way to the one run last, what does not fit to what is usual."""
    knobs = question.knobs
    study = _study(db, knobs.study)
    if study is None:
        return None
    names = book.of(db, study.name)
    by = knobs.by or (_most_levels(names),)
    score = knobs.score or ("clean_accuracy" if study.threat is None else "worst_case")
    grid = score_grid(db, study.name)
    own = () if study.threat_eps is None else (study.threat_eps,)
    radii = tuple(sorted({*grid, *own}))
    eps = knobs.eps if knobs.eps in radii else study.threat_eps
    at = reading(study, score, eps)
    found: dict[Path, Found] = {}
    whole = Groups()
    for path in ((), *sorted(knobs.opened, key=len)):
        if path and not _may_be_open(path, by, found):
            continue
        keys = keys_below(by, path)
        groups = book.groups(db, study.name, inside(question.chosen, by, path), keys, at)
        if not path:
            whole = groups
        if groups.count or not path:
            found[path] = Found(keys, groups.first, groups.count - len(groups.first))
    top = found[()]
    best = top.part(top.groups[0]) if top.groups else None
    pinned = knobs.baseline if len(by) <= len(knobs.baseline) < len(parts(by)) else ()
    baseline = placed(db, study.name, inside(question.chosen, by, pinned), most=MOST_TRIALS) if pinned else {}
    return Loaded(
        study,
        by,
        score,
        eps if score in SINGLE else None,
        radii,
        grid,
        at,
        question.chosen,
        names,
        found,
        whole,
        frozenset(found) - {()},
        _marked(db, study.name, by, [trial for name, trial in question.marks if name == study.name]),
        pinned if baseline else (),
        tuple(baseline),
        () if best is None else weak_below(db, study.name, question.chosen, by, best),
    )


@dataclass(frozen=True)
class Facts:
    """What is looked up of the row under the cursor: its trials, at most MOST_TRIALS of them, the first that failed, and what is
    weak about them."""

    path: Path
    trials: tuple[str, ...]
    failed: str | None
    weak: tuple[Weakness, ...]


def facts(db: Database, loaded: Loaded, path: Path, *, failed: bool) -> Facts:
    """`failed`: whether any of its trials is known to have failed."""
    study, chosen = loaded.study.name, inside(loaded.chosen, loaded.by, path)
    trials = tuple(placed(db, study, chosen, most=MOST_TRIALS))
    first = next(iter(placed(db, study, chosen.narrowed("state", "failed"), most=1) if failed else ()), None)
    return Facts(path, trials, first, weak_below(db, study, loaded.chosen, loaded.by, path))


def weak_below(db: Database, study: str, chosen: Filter, by: Sequence[str], path: Path) -> tuple[Weakness, ...]:
    return tuple(grouping.weaknesses(db, study, inside(chosen, by, path)))


def inside(chosen: Filter, by: Sequence[str], path: Path) -> Filter:
    """What passes the filter and stands below a row."""
    return grouping.within(chosen, parts(by)[: len(path)], choices_of(path))


def _may_be_open(path: Path, by: Sequence[str], found: Mapping[Path, Found]) -> bool:
    if not len(by) <= len(path) < len(parts(by)):
        return False
    return len(path) == len(by) or path[:-1] in found


def _study(db: Database, name: str | None) -> StudyRow | None:
    if name is not None:
        try:
            return study_row(db, name)
        except NotFound:
            pass
    latest = latest_study(db)
    return None if latest is None else study_row(db, latest)


def _most_levels(names: Names) -> str:
    """The optimizer among those that have as many."""
    return max(("optimizer", *FACTORS), key=lambda factor: len(names.texts.get(factor, ())))


def _marked(db: Database, study: str, by: Sequence[str], trials: Sequence[str]) -> dict[Path, int]:
    counts: dict[Path, int] = {}
    for choices in placed(db, study, EVERYTHING.among(trials), parts(by)).values() if trials else ():
        path = tuple(map(part_of, choices))
        for length in range(len(by), len(path) + 1):
            counts[path[:length]] = counts.get(path[:length], 0) + 1
    return counts
