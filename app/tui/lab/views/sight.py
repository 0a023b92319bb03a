"""What the views look at: of which study which trials, by which number, and what they are turned to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.grid import SINGLE, told_radii
from app.report.missing import missing_notes
from app.report.scope import Scope
from app.report.variants import constant
from core.names import short_id
from storage import listing, queries
from storage.listing import EVERYTHING
from storage.studies import latest_study, score_grid, study_row, study_with

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.lab.asked import Asked

MEASURES = ("loss", "accuracy", "validation", "probe")
"""What training curves may be of."""
MOST_TOLD = 40
"""Variants that an equivalent command names at most; no terminal's line has room for more."""


@dataclass(frozen=True)
class Knobs:
    """What the views are turned to, beside what the Lab asks: the heatmap's factors (None: two that vary) and whether it shows
    effects, the attack that curves and images are of (None: all), what training curves are of, which of the images."""

    factors: tuple[str, str] | None = None
    effects: bool = False
    attack: str | None = None
    measure: str = MEASURES[0]
    sample: int = 0
    """How many samples on from the first."""
    room: tuple[int, int] = (80, 16)
    """Columns and lines for images."""
    colour: bool = True


@dataclass(frozen=True)
class Sight:
    """`scope` holds the trials in sight: those that the filter leaves, of the variants of those that are marked, if any are."""

    asked: Asked
    scope: Scope
    marked: tuple[str, ...]
    """The marked trials of the study."""
    marked_variants: tuple[tuple[str, str], ...]
    """Variant id and a marked trial of it."""
    at: str
    """At which or over which ε the score is; empty where no attack decides it."""
    eps: float | None
    """The ε that scores of one ε are read at."""
    constant: str
    """What all variants of the study have in common."""
    notes: tuple[str, ...]
    """What the study's numbers lack."""

    @property
    def study(self) -> str:
        return self.scope.study

    @property
    def score(self) -> str:
        return self.asked.reading.score

    @property
    def told(self) -> str:
        """The score and its ε."""
        return f"{self.score} {self.at}".rstrip()

    @property
    def grouped(self) -> str:
        """What a row or a point is."""
        return " × ".join(self.asked.by) or "variant"

    @property
    def restriction(self) -> str:
        """Which trials of the study are in sight, in words; empty for all."""
        parts = []
        if self.marked:
            count = len(self.marked_variants)
            parts.append(f"{count} marked variant{'' if count == 1 else 's'}")
        if self.asked.chosen.text:
            parts.append(f"/{self.asked.chosen.text}")
        return ", ".join(parts)

    def command(self, words: str, *, eps: bool = True) -> str:
        """`innate WORDS` of what is in sight. `eps`: at the score's ε, where that is not the study's own."""
        text = f"innate {words} --study {shlex.quote(self.study)}"
        if eps and self.scope.at(self.score) is not None:
            text += f" --eps {self.scope.eps:g}"
        if self.asked.chosen.text:
            text += f" --filter {shlex.quote(self.asked.chosen.text)}"
        return text + "".join(f" --trial {short_id(trial)}" for _, trial in self.marked_variants[:MOST_TOLD])


def look(db: Database, asked: Asked) -> Sight | None:
    """None where there is no study at all. Ungrouped rows may be of several: then it is that of the first mark, of the row under
    the cursor, or the one run last."""
    study = asked.study or next((study for study, _ in asked.marks), None)
    if study is None and asked.current:
        study = study_with(db, asked.current)
    study = study or latest_study(db)
    if study is None:
        return None
    here = listing.some(db, [mark for mark in dict.fromkeys(asked.marks) if mark[0] == study])
    variants = {row.variant_id: row.trial_id for row in reversed(here)}
    reading, threat = asked.reading, study_row(db, study).threat
    eps = None if threat is not None and reading.eps == threat.eps else reading.eps
    scope = Scope(
        db,
        study,
        variants=frozenset(variants) or None,
        trials=None if asked.chosen == EVERYTHING else listing.ids(db, asked.chosen.narrowed("study", study)),
        eps=eps,
    )
    rows = queries.scores(db, study, "clean_accuracy")
    return Sight(
        asked,
        scope,
        tuple(row.trial_id for row in here),
        tuple((variant, trial) for variant, trial in variants.items()),
        _radii(db, study, reading.score, eps),
        threat.eps if eps is None and threat is not None else eps,
        constant(rows) if rows else "",
        tuple(missing_notes(db, study)),
    )


def _radii(db: Database, study: str, score: str, eps: float | None) -> str:
    """In few words: "at ℓ∞ ε = 0.1", "over ε 0…0.3"."""
    grid = score_grid(db, study)
    if score not in SINGLE:
        return f"over ε 0…{grid[-1]:g}" if grid and score != "clean_accuracy" else ""
    return told_radii(db, study, score, eps) or ""


def holds(trials: Sequence[str], current: Sequence[str]) -> bool:
    """Whether a row about `trials` is the one under the Lab's cursor, or holds it."""
    return bool(current) and set(current) <= set(trials)
