"""The trials of one study in groups: a mean over variants, and how many trials stand where, counted by SQLite without ledgers.

What needs each image's outcome, as intervals and paired differences do, is worked out elsewhere (`app.report.aggregate`) and may
come later; this answers at once for a hundred thousand trials.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.names import FACTORS
from storage.listing import OF_ONE_VARIANT, Filter, rows
from storage.reading import Options, parsed

if TYPE_CHECKING:
    from sqlite_utils import Database

VARIANT, SEED, TRIAL = "variant", "seed", "trial"
"""What trials can be grouped by beside the factors: all but the seed, the seed alone, and each trial by itself."""
BY = (*FACTORS, VARIANT, SEED)
STATES = ("done", "running", "queued", "failed", "cancelled")
_OPTIONS = {
    **{factor: f"v.{factor}_options" for factor in FACTORS},
    "optimizer": "coalesce(json_patch(v.optimizer_options, st.tuned), v.optimizer_options)",
}
"""Factor → its options as JSON, those that were tuned as such."""
_SAME = "b.number IN (SELECT number FROM brief_variant WHERE {0} IS ? AND {0}_options IS ?)"
_HAVING = {
    **{factor: _SAME.format(factor) for factor in FACTORS},
    "optimizer": f"CASE WHEN st.tuned IS NULL THEN {_SAME.format('optimizer')} ELSE EXISTS (SELECT 1 FROM brief_variant w "
    "WHERE w.number = b.number AND w.optimizer IS ? AND json_patch(w.optimizer_options, st.tuned) IS ?) END",
}
"""Factor → having a name and options of it."""
_OWN = {"optimizer": "st.tuned", SEED: "b.seed", TRIAL: "st.trial_id"}
"""What the trials of a variant do not share, of that which they can be grouped by."""


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


@dataclass(frozen=True)
class Groups:
    """The first of them, and what they sum up to, those that are left out included."""

    first: tuple[Group, ...] = ()
    count: int = 0
    variants: int = 0
    complete: int = 0
    valued: int = 0
    seeds: int = 0
    """Trials that a variant has, in the group where it has most, on average and rounded up."""


def groups(db: Database, study: str, chosen: Filter, by: Sequence[str], reading: Reading, most: int = -1) -> Groups:
    """One for each combination of what `by` (of BY, or TRIAL) names, best first, those without a value last; of the first `most`
    all is told."""
    value, picked, values = _value(reading)
    keys = [column for number, name in enumerate(by) for column in _keys(name, number, "st.seed")]
    names = ", ".join(name for number in range(len(by)) for name in (f"name{number}", f"options{number}"))
    # What all trials of a variant share is looked up for the variant as a whole.
    own = [column for name, column in _OWN.items() if name in by]
    counted = ", ".join(f"sum(st.state = '{state}') AS {state}" for state in STATES)
    summed = ", ".join(f"sum({state})" for state in STATES)
    summed += ", sum(suspect > 0), sum(invalid > 0), sum(done = trials)"
    inside = ", ".join(("b.number", *own))
    sql = (
        f"WITH st AS (SELECT {inside}, avg({value}) AS value, count({value}) AS valued, "
        f"count(*) AS trials, sum(st.trust IS 'suspect') AS suspect, sum(st.trust IS 'invalid') AS invalid, {counted} "
        f"{rows(db, inside, value, chosen.sql)} {picked} WHERE st.study = ? AND ({chosen.sql}) GROUP BY {inside}) "
        f"SELECT {''.join(f'{key}, ' for key in keys)}avg(value), count(*), sum(trials), sum(valued), sum(suspect), "
        f"sum(invalid), {summed} FROM st CROSS JOIN brief_variant v ON v.number = st.number "
        f"{f'GROUP BY {names}' if names else ''} ORDER BY avg(value) DESC NULLS LAST{f', {names}' if names else ''}"
    )
    found = db.execute(sql, (*values, study, *chosen.values)).fetchall()
    if not found or found[0][-1] is None:  # a sum over no rows is one row of nothing
        return Groups()
    width = 2 * len(by)
    first = tuple(_group(row, width) for row in found[: most if most >= 0 else None])
    sums = [(row[width + 1], row[width + 2], row[width + 3], row[-1]) for row in found]
    variants, _, valued, complete = map(sum, zip(*sums, strict=True))
    return Groups(first, len(found), variants, complete, valued, max(-(-trials // own) for own, trials, _, _ in sums))


def _group(row: Sequence[Any], width: int) -> Group:
    choices = tuple(_choice(row[number], row[number + 1]) for number in range(0, width, 2))
    return Group(choices, *row[width:])


@functools.lru_cache(maxsize=4096)
def _choice(name: Any, stored: str | None) -> Choice:
    return Choice(None if name is None else str(name), parsed(stored or "{}"), stored)


def levels(db: Database, study: str) -> dict[str, list[Choice]]:
    """Factor → its choices in a study, in the order in which its trials have them."""
    found: dict[str, dict[tuple[Any, Any], Choice]] = {factor: {} for factor in FACTORS}
    columns = ", ".join(f"v.{factor}, {_OPTIONS[factor]}" for factor in FACTORS)
    told = db.execute(
        f"WITH st AS (SELECT b.number, st.tuned, min(st.position) AS place {rows(db, 'b.number')} WHERE st.study = ? "
        f"GROUP BY b.number, st.tuned) "
        f"SELECT {columns} FROM st CROSS JOIN brief_variant v ON v.number = st.number ORDER BY st.place",
        (study,),
    )
    for row in told.fetchall():
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
            conditions.append(_HAVING[name])
            values += [choice.name, choice.stored] * (_HAVING[name].count("?") // 2)
        elif name == SEED:
            conditions.append("CAST(b.seed AS TEXT) IS ?")
            values.append(choice.name)
        else:
            conditions.append("st.trial_id = ?" if name == TRIAL else OF_ONE_VARIANT)
            values.append(choice.name)
    return Filter(chosen.text, " AND ".join(f"({one})" for one in conditions), tuple(values))


def placed(
    db: Database, study: str, chosen: Filter, by: Sequence[str] = (), most: int = -1
) -> dict[str, tuple[Choice, ...]]:
    """The ids of the study's trials that pass, in its order, at most so many, each with its choices of `by`."""
    keys = "".join(f", {column}" for number, name in enumerate(by) for column in _keys(name, number))
    told = db.execute(
        f"SELECT st.trial_id{keys} {rows(db, keys, chosen.sql)} WHERE st.study = ? AND ({chosen.sql}) "
        "ORDER BY st.position LIMIT ?",
        (study, *chosen.values, most),
    )
    return {
        str(trial_id): tuple(_choice(parts[2 * number], parts[2 * number + 1]) for number in range(len(by)))
        for trial_id, *parts in told.fetchall()
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
    told = db.execute(
        "SELECT st.trust, coalesce(st.trust_reasons, '[]') AS reasons, count(*), count(DISTINCT b.number) "
        f"{rows(db, 'b.number', chosen.sql)} "
        f"WHERE st.study = ? AND st.trust <> 'ok' AND ({chosen.sql}) GROUP BY st.trust, reasons "
        "ORDER BY st.trust = 'invalid' DESC, count(*) DESC LIMIT ?",
        (study, *chosen.values, most),
    )
    return [Weakness(trust, tuple(parsed(reasons)), *counts) for trust, reasons, *counts in told.fetchall()]


def _keys(name: str, number: int, seed: str = "b.seed") -> tuple[str, str]:
    """What is grouped by, as two columns of SQL."""
    own = {VARIANT: "v.variant_id", TRIAL: "st.trial_id", SEED: seed}
    if name in own:
        return f"{own[name]} AS name{number}", f"NULL AS options{number}"
    return f"v.{name} AS name{number}", f"{_OPTIONS[name]} AS options{number}"


def _value(reading: Reading) -> tuple[str, str, tuple[Any, ...]]:
    """An expression for the number, the joins that it needs, and their values."""
    picked = "LEFT JOIN score picked ON picked.study = st.study AND picked.trial_id = st.trial_id AND picked.name = ?"
    if reading.eps is None:
        return "picked.value", picked, (reading.score,)
    robust = "LEFT JOIN robustness r ON r.study = st.study AND r.trial_id = st.trial_id AND r.norm = ? AND r.eps = ?"
    if reading.score == "worst_case":
        return "r.compared_accuracy", robust, (reading.norm, reading.eps)
    if reading.score == "retention":  # none for a model that learned nothing, as where it is stored
        kept = "CASE WHEN picked.value IS NOT NULL THEN r.compared_accuracy / c.accuracy END"
        return kept, f"{picked} {robust}", (reading.score, reading.norm, reading.eps)
    raise ValueError(f"{reading.score} is of no single ε")
