"""What of a published table can be held against a study's results, and what differs: facts, not sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.published import Row, Table, all_published, published
from core.datasets import DATASETS
from core.verdict.scoring.outcomes import CONTROLS
from storage.queries import leaderboard, scores, worst_cases
from storage.studies import attacks_tried, document, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.reading import Options
    from storage.rows import VariantRow

_SAME_EPS = 1e-6
"""Radii nearer than this are the same: 8/255 written out to six digits."""
_AUTOATTACK = "standard"
"""The attack here that is AutoAttack's ensemble, FMN in the place of FAB."""


@dataclass(frozen=True)
class Facts:
    """What of a study decides what can be held against it."""

    dataset: str
    """What results show: the registry name only for the real set."""
    radii: Mapping[str, tuple[float, ...]]
    """Norm → the ε at which worst cases are known."""
    attacks: Mapping[str, tuple[str, ...]]
    """Norm → names of its attacks, controls left out."""
    test_samples: int | None
    train_samples: int | None
    """None: all of the data set's."""
    architectures: tuple[str, ...]
    seeds: int
    """The most of any variant."""
    imported: bool = False
    """Whether it has weights that were trained elsewhere, of whose images nothing is known."""


@dataclass(frozen=True)
class Difference:
    """`what` differs: one of data set, norm, radius, attack, test images, training images, further images, architecture, seeds.

    `here` and `there` are values in words. Where it `excludes`, no number there can be held against one here; else it moves
    numbers, and `moves` says which way, if that is known.
    """

    what: str
    here: str
    there: str
    excludes: bool = False
    moves: str | None = None


@dataclass(frozen=True)
class Own:
    """A variant of the study at the table's norm and ε; the mean over its seeds."""

    variant: VariantRow
    robust: float


@dataclass(frozen=True)
class Beside:
    """A table held against a study; `own` are the study's variants where they can stand in one column with it, best first."""

    table: Table
    differences: tuple[Difference, ...]
    own: tuple[Own, ...]

    @property
    def comparable(self) -> bool:
        return not any(one.excludes for one in self.differences)


def beside(db: Database, study: str, name: str | None) -> list[Beside]:
    """The named table, else every one on the study's data set, held against it. Raises NotFound."""
    facts = facts_of(db, study)
    tables = [published(name)] if name is not None else [one for one in all_published() if one.dataset == facts.dataset]
    return [_beside(db, study, table, facts) for table in tables]


def _beside(db: Database, study: str, table: Table, facts: Facts) -> Beside:
    found = differences(table, facts)
    own = () if any(one.excludes for one in found) else _own(db, study, table)
    return Beside(table, found, own)


def facts_of(db: Database, study: str) -> Facts:
    stored = study_row(db, study)
    board = leaderboard(db, study)
    tried = [attack for attack in attacks_tried(db, study) if attack.name not in CONTROLS]
    entry = DATASETS.get(stored.dataset)
    taken = document(db, study).get("train_samples")
    return Facts(
        dataset=stored.dataset,
        radii={norm: tuple(sorted({one.eps for one in worst_cases(db, study, norm)})) for norm in ("linf", "l2")},
        attacks={
            norm: tuple(dict.fromkeys(attack.name for attack in tried if attack.norm == norm))
            for norm in ("linf", "l2")
        },
        test_samples=stored.test_samples or (None if entry is None else entry.test_size),
        train_samples=taken if isinstance(taken, int) else None,
        architectures=tuple(dict.fromkeys(row.architecture or "" for row in board)),
        seeds=max((row.seeds for row in board), default=0),
        imported=any(row.optimizer is None for row in board),
    )


def differences(table: Table, facts: Facts) -> tuple[Difference, ...]:
    """All that differs between a table and a study, what excludes a comparison first."""
    found = [*_threats(table, facts), *_attacks(table, facts), *_data(table, facts), *_models(table, facts)]
    return tuple(sorted(found, key=lambda one: not one.excludes))


def _threats(table: Table, facts: Facts) -> list[Difference]:
    found = []
    if facts.dataset != table.dataset:
        found.append(Difference("data set", facts.dataset, table.dataset, excludes=True))
    radii = facts.radii.get(table.norm, ())
    if not radii:
        others = [norm for norm, known in facts.radii.items() if known]
        found.append(Difference("norm", ", ".join(others) or "nothing attacked", table.norm, excludes=True))
    elif not any(math.isclose(eps, table.eps, rel_tol=0, abs_tol=_SAME_EPS) for eps in radii):
        found.append(
            Difference("radius", ", ".join(eps_text(eps) for eps in radii), eps_text(table.eps), excludes=True)
        )
    return found


def _attacks(table: Table, facts: Facts) -> list[Difference]:
    here = facts.attacks.get(table.norm, ())
    if not here:
        return []
    if table.of == "attacks":
        return [
            Difference(
                "attack", ", ".join(here), "each row its own", moves="the lowest there is the one to hold against"
            )
        ]
    if _AUTOATTACK in here:
        there = ", ".join(dict.fromkeys(row.attack for row in table.rows))
        return [Difference("attack", ", ".join(here), there, moves="the same ensemble but for one member: hardly any")]
    there = ", ".join(dict.fromkeys(row.attack for row in table.rows))
    return [Difference("attack", ", ".join(here), there, moves="weaker attacks leave more standing: too high here")]


def _data(table: Table, facts: Facts) -> list[Difference]:
    found = []
    if facts.test_samples is not None and facts.test_samples != table.test_samples:
        found.append(Difference("test images", f"{facts.test_samples:,}", f"{table.test_samples:,}"))
    if facts.train_samples is not None:
        found.append(
            Difference(
                "training images", f"{facts.train_samples:,}", "the data set's own", moves="fewer images: too low here"
            )
        )
    more = [row for row in table.rows if row.further_data not in (None, "none")]
    if more:
        told = f"in {len(more)} of {len(table.rows)} rows"
        here = "none, or unknown of imported weights," if facts.imported else "none"
        found.append(Difference("further images", here, told, moves="more images: higher there"))
    return found


def _models(table: Table, facts: Facts) -> list[Difference]:
    found = []
    there = tuple(dict.fromkeys(row.architecture for row in table.rows if row.architecture is not None))
    # Whoever wrote a net's name elsewhere may mean another net, so that none is taken for the same.
    if there and facts.architectures:
        found.append(Difference("architecture", _few(facts.architectures), _few(there)))
    seeds = {row.seeds or 1 for row in table.rows}
    if facts.seeds and seeds != {facts.seeds}:
        found.append(Difference("seeds", str(facts.seeds), " or ".join(str(one) for one in sorted(seeds))))
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} others"


def _own(db: Database, study: str, table: Table) -> tuple[Own, ...]:
    variant_of = {row.trial_id: row.variant_id for row in scores(db, study, "innate")}
    values: dict[str, list[float]] = {}
    for one in worst_cases(db, study, table.norm):
        if math.isclose(one.eps, table.eps, rel_tol=0, abs_tol=_SAME_EPS) and one.trial_id in variant_of:
            values.setdefault(variant_of[one.trial_id], []).append(one.accuracy)
    board = {row.variant_id: row for row in leaderboard(db, study)}
    found = [Own(board[variant], sum(known) / len(known)) for variant, known in values.items() if variant in board]
    return tuple(sorted(found, key=lambda one: -one.robust))


def eps_text(eps: float) -> str:
    """As it is usually written: "0.3", "8/255"."""
    plain, levels = f"{eps:.4g}", eps * 255.0
    return f"{round(levels)}/255" if float(plain) != eps and abs(levels - round(levels)) < 1e-6 else plain


def row_json(row: Row, table: Table) -> Options:
    """A published row for programs: fractions, None where nothing was published."""
    return {
        "table": table.name,
        "name": row.name,
        "dataset": table.dataset,
        "norm": table.norm,
        "eps": table.eps,
        "attack": row.attack,
        "samples": table.test_samples,
        "clean_accuracy": row.clean,
        "robust_accuracy": row.robust,
        "deviation": row.deviation,
        "seeds": row.seeds,
        "best_known": row.best_known,
        "best_known_by": row.best_known_by,
        "architecture": row.architecture,
        "further_data": row.further_data,
        "paper": row.paper,
        "venue": row.venue,
        "year": row.year,
        "submitted_by": row.submitted_by,
        "link": row.link,
        "source": table.source,
        "url": table.url,
        "dated": table.dated.isoformat(),
        "retrieved": table.retrieved.isoformat(),
    }
