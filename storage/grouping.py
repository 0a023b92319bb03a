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

VARIANT, SEED, TRIAL = "variant", "seed", "trial"
"""What trials can be grouped by beside the factors: all but the seed, the seed alone, and each trial by itself."""
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
    """What a group has in common in one respect: a registry name with its options, a seed, or the id of a variant or trial."""

    name: str | None
    options: Options
    stored: str | None = None
    """The options as they are stored, which `within` goes by."""


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
    suspect_variants: int
    """Those with a suspect trial; of invalid ones the same."""
    invalid_variants: int
    complete: int
    """Variants whose trials are all done."""


def groups(db: Database, study: str, chosen: Filter, by: Sequence[str], reading: Reading) -> list[Group]:
    """One for each combination of what `by` (of BY, or TRIAL) names, best first, those without a value last."""
    value, values = _value(reading)
    keys = [column for number, name in enumerate(by) for column in _keys(name, number)]
    names = [name for number in range(len(by)) for name in (f"name{number}", f"options{number}")]
    told = "".join(f"{name}, " for name in names)
    counted = ", ".join(f"sum(st.state = '{state}') AS {state}" for state in STATES)
    summed = ", ".join(f"sum({state})" for state in STATES)
    summed += ", sum(suspect > 0), sum(invalid > 0), sum(done = trials)"
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
    choices = tuple(_choice(row[2 * number], row[2 * number + 1]) for number in range(width))
    value, *counts = row[2 * width :]
    return Group(choices, value, *(int(count or 0) for count in counts))


def _choice(name: Any, stored: str | None) -> Choice:
    return Choice(None if name is None else str(name), parsed(stored or "{}"), stored)


def levels(db: Database, study: str) -> dict[str, list[Choice]]:
    """Factor → its choices in a study, in the order in which its trials have them."""
    found: dict[str, dict[tuple[Any, Any], Choice]] = {factor: {} for factor in FACTORS}
    columns = ", ".join(f"t.{factor}, {OPTIONS[factor]}" for factor in FACTORS)
    rows = db.execute(
        f"SELECT {columns}, min(st.position) AS place FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "WHERE st.study = ? GROUP BY t.variant_id ORDER BY place",
        (study,),
    )
    for row in rows.fetchall():
        for number, factor in enumerate(FACTORS):
            name, stored = row[2 * number], row[2 * number + 1]
            if (name, stored) not in found[factor]:
                found[factor][name, stored] = _choice(name, stored)
    return {factor: list(choices.values()) for factor, choices in found.items()}


def size(db: Database, study: str) -> int:
    """How many trials a study has."""
    return int(db.execute("SELECT count(*) FROM study_trial WHERE study = ?", (study,)).fetchone()[0])


def within(chosen: Filter, by: Sequence[str], choices: Sequence[Choice]) -> Filter:
    """`chosen`, and having these choices of `by`."""
    conditions, values = [chosen.sql], [*chosen.values]
    for name, choice in zip(by, choices, strict=True):
        if name in FACTORS:
            conditions.append(f"t.{name} IS ? AND {OPTIONS[name]} IS ?")
            values += [choice.name, choice.stored]
        elif name == SEED:
            conditions.append("CAST(t.seed AS TEXT) IS ?")
            values.append(choice.name)
        else:
            conditions.append(f"t.{'id' if name == TRIAL else 'variant_id'} = ?")
            values.append(choice.name)
    return Filter(chosen.text, " AND ".join(f"({one})" for one in conditions), tuple(values))


def placed(
    db: Database, study: str, chosen: Filter, by: Sequence[str] = (), most: int = -1
) -> dict[str, tuple[Choice, ...]]:
    """The ids of the study's trials that pass, in its order, at most so many, each with its choices of `by`."""
    keys = "".join(f", {column}" for number, name in enumerate(by) for column in _keys(name, number))
    rows = db.execute(
        f"SELECT t.id{keys} {FROM} WHERE st.study = ? AND ({chosen.sql}) ORDER BY st.position LIMIT ?",
        (study, *chosen.values, most),
    )
    return {
        str(trial_id): tuple(_choice(told[2 * number], told[2 * number + 1]) for number in range(len(by)))
        for trial_id, *told in rows.fetchall()
    }


@dataclass(frozen=True)
class Weakness:
    """A verdict with its reasons, and how many trials of how many variants share just these."""

    trust: str
    reasons: tuple[str, ...]
    trials: int
    variants: int


def weaknesses(db: Database, study: str, chosen: Filter, most: int = 3) -> list[Weakness]:
    """Of the study's trials that pass, the worst verdict first, then what most have."""
    rows = db.execute(
        f"SELECT st.trust, coalesce(st.trust_reasons, '[]') AS reasons, count(*), count(DISTINCT t.variant_id) {FROM} "
        f"WHERE st.study = ? AND st.trust <> 'ok' AND ({chosen.sql}) GROUP BY st.trust, reasons "
        "ORDER BY st.trust = 'invalid' DESC, count(*) DESC LIMIT ?",
        (study, *chosen.values, most),
    )
    return [Weakness(trust, tuple(parsed(reasons)), *counts) for trust, reasons, *counts in rows.fetchall()]


def _keys(name: str, number: int) -> tuple[str, str]:
    """What is grouped by, as two columns of SQL."""
    if name in (VARIANT, TRIAL):
        return f"t.{'variant_id' if name == VARIANT else 'id'} AS name{number}", f"NULL AS options{number}"
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
