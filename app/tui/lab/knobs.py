"""What is chosen in the Lab and remembered: the study, the grouping, the score and its ε, what is open, what others are held
against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.report.grid import SINGLE
from app.tui.lab.rows import Part, Path
from core.verdict.scoring import SCORES
from storage.grouping import BY, SEED, VARIANT, Reading
from storage.rows import StudyRow


@dataclass(frozen=True)
class Knobs:
    """`study` None: the one run last, in the list of runs all of them; `by` None: the factor with most choices, (): the list of
    runs; `score` None: the worst case where the study attacks; `eps` None: the study's own."""

    study: str | None = None
    by: tuple[str, ...] | None = None
    score: str | None = None
    eps: float | None = None
    opened: frozenset[Path] = frozenset()
    baseline: Path = ()

    @property
    def listed(self) -> bool:
        """Whether runs are listed one by one."""
        return self.by == ()


def read(kept: Mapping[str, Any]) -> Knobs:
    """What was remembered; whatever has another shape, or is of no grouping or score any more, is forgotten."""
    study, score, eps = kept.get("study"), kept.get("score"), kept.get("eps")
    by = kept.get("by")
    known = isinstance(by, list) and all(name in BY for name in by)
    opened = kept.get("opened")
    return Knobs(
        study if isinstance(study, str) else None,
        normal(tuple(by)) if known and isinstance(by, list) else None,
        score if isinstance(score, str) and score in SCORES else None,
        float(eps) if isinstance(eps, int | float) else None,
        frozenset(map(_path, opened if isinstance(opened, list) else [])) - {()},
        _path(kept.get("baseline")),
    )


def kept(knobs: Knobs) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "study": knobs.study,
        "by": None if knobs.by is None else list(knobs.by),
        "score": knobs.score,
        "eps": knobs.eps,
        "opened": [[list(part) for part in path] for path in sorted(knobs.opened, key=repr)],
        "baseline": [list(part) for part in knobs.baseline],
    }


def normal(by: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of BY, each once. A variant has all factors in it, and a variant's seed is a run."""
    if VARIANT in by:
        return () if SEED in by else (VARIANT,)
    return tuple(name for name in BY if name in by)


def reading(study: StudyRow, score: str, eps: float | None) -> Reading:
    """A score at another ε than the study's own where it is of a single one, else as it is stored."""
    if eps is None or score not in SINGLE or study.threat_norm is None or eps == study.threat_eps:
        return Reading(score)
    return Reading(score, study.threat_norm, eps)


def _path(found: Any) -> Path:
    """() of what is none."""
    if not isinstance(found, list) or not all(isinstance(part, list) and len(part) == 2 for part in found):
        return ()
    made: list[Part] = []
    for name, stored in found:
        if not isinstance(name, str | None) or not isinstance(stored, str | None):
            return ()
        made.append((name, stored))
    return tuple(made)
