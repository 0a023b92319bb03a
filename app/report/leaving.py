"""Trials that leave a study because its grid changes, and those that are in no study, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.report.text import moment
from core.names import short_id
from storage.tuning import is_companion, study_of

if TYPE_CHECKING:
    from storage.rows import FoundTrial
    from storage.trial import TrialInNoStudy

_NAMED = 3
COMMAND = "innate trials --left"
"""Lists those that are in no study."""


def leaving_text(leaving: Sequence[str]) -> str:
    """How many leave and which, and where they are to be found then."""
    few = ", ".join(short_id(trial_id) for trial_id in leaving[:_NAMED]) + (", …" if len(leaving) > _NAMED else "")
    count, keep = (f"{len(leaving):,} trials", "they keep") if len(leaving) > 1 else ("1 trial", "it keeps")
    return f"{count} ({few}); {keep} all results: {COMMAND}"


def outside_text(rows: Sequence[FoundTrial]) -> list[str]:
    """A line below a list that has trials in no study, for each study that some of them left."""
    left = Counter(left_text(row) for row in rows if row.study is None)
    return [f"in no study (–): {count:,} {words}" for words, count in left.items()]


def left_text(row: FoundTrial | TrialInNoStudy) -> str:
    """Which study a trial left that is in none, and when: "left quick 2026-11-28 21:12"."""
    if row.left_study is None:
        return "that an earlier version took out of one"
    tuning = "the tuning of " if is_companion(row.left_study) else ""
    when = "" if row.left_at is None else f" {moment(row.left_at)}"
    return f"left {tuning}{study_of(row.left_study)}{when}"
