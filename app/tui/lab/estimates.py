"""Intervals and paired differences of the rows in sight: from each image's outcome, worked out aside in small steps and kept.

A step is one question to the readers' thread, short enough that a list that is asked for meanwhile does not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from app.tui.lab.rows import Part, Path, part_of, parts
from core.names import FACTORS
from storage.grouping import TRIAL, VARIANT, placed
from storage.listing import Filter
from storage.queries import scores
from storage.rows import ScoreRow

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.aggregate import Influence, Level
    from core.verdict.findings.models import Model

MOST_MODELS = 2_000
"""In sight: of more, no ledger is read."""
_STEP = 50
"""Models that one step reads."""
_PAUSE = 4.0
"""How much longer than estimates took to wait before they are made anew, while the data keeps changing."""
_BREATH = 0.1
_KEPT = 64
"""Tables that are remembered, so that a step of ε and back costs nothing."""

Ask = Callable[[Callable[["Database"], Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Wanted:
    """`eps` None is the score's own; `opened` are the rows whose insides are in sight, () for the top."""

    study: str
    score: str
    eps: float | None
    chosen: Filter
    by: tuple[str, ...]
    opened: tuple[Path, ...]
    baseline: Path = ()


@dataclass(frozen=True)
class Ledgers:
    """The models in sight with their influence on the score, and the choices of the grouping that each has."""

    models: tuple[Model, ...]
    values: Mapping[str, Influence]
    places: Mapping[str, Path]


class Estimator:
    """`ask` puts a question to the readers' thread."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._ledgers: tuple[Hashable, Ledgers] | None = None
        self._tables: OrderedDict[Hashable, Mapping[Path, Level]] = OrderedDict()

    async def work_out(
        self, wanted: Wanted, put: Callable[[Mapping[Path, Level]], None], stop: Callable[[], bool]
    ) -> None:
        """Hand all that is known so far to `put` after each table; gives up between two steps once `stop` says so."""
        rows, places = await self._ask(lambda db: scored(db, wanted))
        seen = tuple((row.trial_id, row.value, row.low, row.high, row.upper_bound, row.trust) for row in rows)
        key = (wanted.study, wanted.score, wanted.eps, wanted.by, seen)
        found: dict[Path, Level] = {}
        for path in wanted.opened:
            named = (*key, path, wanted.baseline)
            if named not in self._tables:
                ledgers = await self._read(wanted, key, rows, places, stop)
                if ledgers is None:
                    return
                self._tables[named] = await self._ask(
                    lambda _, ledgers=ledgers, path=path: table(ledgers, wanted, path)  # type: ignore[misc]
                )
                if len(self._tables) > _KEPT:
                    self._tables.popitem(last=False)
            if stop():
                return
            found |= self._tables[named]
            put(found)

    async def _read(
        self,
        wanted: Wanted,
        key: Hashable,
        rows: Sequence[ScoreRow],
        places: Mapping[str, Path],
        stop: Callable[[], bool],
    ) -> Ledgers | None:
        """None where it was stopped."""
        if self._ledgers is not None and self._ledgers[0] == key:
            return self._ledgers[1]
        models: list[Model] = []
        values: dict[str, Influence] = {}
        for first in range(0, len(rows), _STEP):
            part = await self._ask(
                lambda db, first=first: _read_some(db, wanted, rows, slice(first, first + _STEP))  # type: ignore[misc]
            )
            models += part[0]
            values |= part[1]
            if stop():
                return None
        self._ledgers = key, Ledgers(tuple(models), values, places)
        return self._ledgers[1]


class Estimates:
    """What is estimated of the table in sight; `changed` is called whenever more of it is there. Of one event loop."""

    def __init__(self, ask: Ask, changed: Callable[[], None]) -> None:
        self._estimator = Estimator(ask)
        self._changed = changed
        self.levels: Mapping[Path, Level] = {}
        self._question: Wanted | None = None
        """What `levels` answer."""
        self._due: Wanted | None = None
        self.under_way = False

    def turn_to(self, wanted: Wanted, worth: bool) -> bool:
        """Keep of `levels` only what holds for `wanted` too; where the rest is `worth` being worked out, have it worked out.
        Returns whether whoever asks is to begin `work`."""
        if self._question is None or not _alike(self._question, wanted):
            self.levels = {}
        self._question = wanted
        if not worth:
            return False
        self._due = wanted
        begin, self.under_way = not self.under_way, True
        return begin

    async def work(self) -> None:
        """Until nothing is due. Raises what the readers' thread raises."""
        try:
            while self._due is not None:
                wanted, self._due = self._due, None
                began = time.monotonic()
                await self._estimator.work_out(wanted, partial(self._put, wanted), lambda: self._due is not None)
                rest = _PAUSE * (time.monotonic() - began)
                while rest > _BREATH and self._due == wanted:  # only the data has changed
                    await asyncio.sleep(_BREATH)
                    rest -= _BREATH
        finally:
            self.under_way = False

    def _put(self, wanted: Wanted, levels: Mapping[Path, Level]) -> None:
        if self._question is not None and _alike(self._question, wanted):
            self.levels = {**self.levels, **levels}
            self._changed()


def _alike(one: Wanted, other: Wanted) -> bool:
    """Whether what was worked out for one of them holds for the other: what is open does not matter."""
    return (one.study, one.score, one.eps, one.chosen, one.by, one.baseline) == (
        other.study, other.score, other.eps, other.chosen, other.by, other.baseline,
    )  # fmt: skip


def scored(db: Database, wanted: Wanted) -> tuple[list[ScoreRow], dict[str, Path]]:
    """The scored trials in sight, and where in the grouping each has its place."""
    found = placed(db, wanted.study, wanted.chosen, wanted.by)
    places: dict[str, Path] = {trial: tuple(map(part_of, choices)) for trial, choices in found.items()}
    return scores(db, wanted.study, wanted.score, list(places)), places


def _read_some(
    db: Database, wanted: Wanted, rows: Sequence[ScoreRow], part: slice
) -> tuple[list[Model], dict[str, Influence]]:
    # What reads ledgers takes a tenth of a second to import: after the first screen, and on this thread.
    from app.report.aggregate import at_radius, influences
    from app.report.study_models import plain_models

    models = at_radius(plain_models(db, wanted.study, rows, part), wanted.eps)
    return models, influences(models, wanted.score)


def table(ledgers: Ledgers, wanted: Wanted, path: Path) -> dict[Path, Level]:
    """The levels of the rows right below `path`, with their differences from the baseline if it is one of their kind, else from
    the best of them. Trials are not held against each other: a seed is no choice."""
    from app.report.aggregate import compared

    depth = len(path) + (len(wanted.by) if not path else 1)
    groups: dict[Path, list[Model]] = {}
    base = wanted.baseline if len(wanted.baseline) == depth else ()
    for model in ledgers.models:
        own = _path(wanted.by, ledgers.places[model.trial_id], model)[:depth]
        if own[: len(path)] == path or own == base:
            groups.setdefault(own, []).append(model)
    kind = parts(wanted.by)[depth - 1]
    factors = ("seed",) if kind == TRIAL else FACTORS if kind == VARIANT else wanted.by
    keys: dict[Path, tuple[str, ...]] = {own: (str(place),) for place, own in enumerate(groups)}
    levels = compared(
        {keys[own]: models for own, models in groups.items()},
        factors,
        ledgers.values,
        wanted.score,
        keys.get(base),
    )
    paths = {key: own for own, key in keys.items()}
    return {paths[level.names]: level for level in levels}


def _path(by: Sequence[str], place: Path, model: Model) -> Path:
    """The whole of it, down to the trial."""
    inner: list[Part] = [
        (model.variant_id if name == VARIANT else model.trial_id, None) for name in parts(by)[len(by) :]
    ]
    return (*place, *inner)
