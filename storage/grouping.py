"""The trials of one study in groups: a mean over variants, and how many trials stand where, counted by SQLite without ledgers.

What needs each image's outcome, as intervals and paired differences do, is worked out elsewhere (`app.report.aggregate`) and may
come later; this answers at once for a hundred thousand trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.names import FACTORS
from storage.listing import FROM, OPTIONS, Filter
from storage.reading import Options, parsed

if TYPE_CHECKING:
    from sqlite_utils import Database

VARIANT, SEED = "variant", "seed"
"""What trials can be grouped by beside the factors: all but the seed, and the seed alone."""
BY = (*FACTORS, VARIANT, SEED)
STATES = ("done", "running", "queued", "failed", "cancelled")


@dataclass(frozen=True)
class Reading:
    """Which number of each trial: a score as it is stored, or (`eps`) a score of one ε at another one that was attacked."""

    score: str
    norm: str | None = None
    eps: float | None = None


@dataclass(frozen=True)
class Choice:
    """What a group has in common in one respect: a registry name with its options, a variant's id, or a seed."""

    name: str | None
    options: Options


@dataclass(frozen=True)
class Group:
    """`value` is the mean over variants, each a mean over its trials; None where no trial has one. Counts are of trials."""

    choices: tuple[Choice, ...]
    value: float | None
    variants: int
    trials: int
    valued: int
    """Trials with a value."""
    suspect: int
    invalid: int
    done: int
    running: int
    queued: int
    failed: int
    cancelled: int


def groups(db: Database, study: str, chosen: Filter, by: Sequence[str], reading: Reading) -> list[Group]:
    """One for each combination of what `by` (of BY) names, best first, those without a value last."""
    value, values = _value(reading)
    keys = [column for number, name in enumerate(by) for column in _keys(name, number)]
    names = [name for number in range(len(by)) for name in (f"name{number}", f"options{number}")]
    told = "".join(f"{name}, " for name in names)
    counted = ", ".join(f"sum(st.state = '{state}') AS {state}" for state in STATES)
    summed = ", ".join(f"sum({state})" for state in STATES)
    sql = (
        f"WITH variant AS (SELECT {''.join(f'{key}, ' for key in keys)}avg({value}) AS value, count({value}) AS valued, "
        f"count(*) AS trials, sum(st.trust = 'suspect') AS suspect, sum(st.trust = 'invalid') AS invalid, {counted} "
        f"{FROM} LEFT JOIN score picked ON picked.study = st.study AND picked.trial_id = st.trial_id AND picked.name = ? "
        "LEFT JOIN robustness r ON r.study = st.study AND r.trial_id = st.trial_id AND r.norm = ? AND r.eps = ? "
        f"WHERE st.study = ? AND ({chosen.sql}) GROUP BY {told}t.variant_id) "
        f"SELECT {told}avg(value), count(*), sum(trials), sum(valued), sum(suspect), sum(invalid), {summed} FROM variant "
        f"{f'GROUP BY {told[:-2]}' if names else ''} ORDER BY avg(value) DESC NULLS LAST{''.join(f', {name}' for name in names)}"
    )
    found = db.execute(sql, (*values, study, *chosen.values)).fetchall()
    return [_group(row, len(by)) for row in found if row[2 * len(by) + 2] is not None]


def _group(row: Sequence[Any], width: int) -> Group:
    choices = tuple(
        Choice(None if row[2 * number] is None else str(row[2 * number]), parsed(row[2 * number + 1] or "{}"))
        for number in range(width)
    )
    value, *counts = row[2 * width :]
    return Group(choices, value, *(int(count or 0) for count in counts))


def _keys(name: str, number: int) -> tuple[str, str]:
    """What is grouped by, as two columns of SQL."""
    if name == VARIANT:
        return f"t.variant_id AS name{number}", f"NULL AS options{number}"
    if name == SEED:
        return f"t.seed AS name{number}", f"NULL AS options{number}"
    return f"t.{name} AS name{number}", f"{OPTIONS[name]} AS options{number}"


def _value(reading: Reading) -> tuple[str, tuple[Any, ...]]:
    """An expression for the number, and the values of the joins that it needs."""
    joined = (reading.score, reading.norm, reading.eps)
    if reading.eps is None:
        return "picked.value", joined
    if reading.score == "worst_case":
        return "r.compared_accuracy", joined
    if reading.score == "retention":  # none for a model that learned nothing, as where it is stored
        return "CASE WHEN picked.value IS NOT NULL THEN r.compared_accuracy / c.accuracy END", joined
    raise ValueError(f"{reading.score} is of no single ε")
