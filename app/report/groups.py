"""Scored trials in the groups that a view shows: by variant, by levels of factors, by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.aggregate import verdicts
from app.report.scope import Scope
from app.report.variants import grouped
from core.names import worst
from storage.grouping import SEED, VARIANT

if TYPE_CHECKING:
    from storage.rows import Judged, ScoreRow


@dataclass(frozen=True)
class Group:
    """`blocks` are the trials of each variant of it, over whose means it is a mean; of a seed, each trial by itself. `trust` is
    the worst verdict, with every distinct reason."""

    key: str
    label: str
    blocks: tuple[tuple[str, ...], ...]
    trust: str
    reasons: tuple[str, ...]

    @property
    def trial_ids(self) -> tuple[str, ...]:
        return tuple(trial for block in self.blocks for trial in block)

    def mean(self, values: Mapping[str, float]) -> float | None:
        """Over the blocks that have any, each the mean over its trials that have one; `values` by trial id."""
        means = []
        for block in self.blocks:
            known = [values[trial] for trial in block if trial in values]
            if known:
                means.append(math.fsum(known) / len(known))
        return math.fsum(means) / len(means) if means else None


def groups(scope: Scope, rows: Sequence[ScoreRow], by: Sequence[str], judged: Sequence[Judged] = ()) -> list[Group]:
    """The rows in scope in the groups of `by` (of `storage.grouping.BY`; none: by variant), in the order in which they are met.
    Levels are named among all of `rows`, one for each trial; the verdicts on `judged` count too."""
    more: dict[str, list[Judged]] = {}
    for one in judged:
        more.setdefault(one.trial_id, []).append(one)
    named = _named(scope, rows, by)
    members: dict[str, list[ScoreRow]] = {}
    for row in scope.kept(rows):
        members.setdefault(named[row.trial_id][0], []).append(row)
    found = []
    for key, own in members.items():
        blocks: dict[str, list[str]] = {}
        for row in own:
            blocks.setdefault(row.trial_id if SEED in by else row.variant_id, []).append(row.trial_id)
        verdict = verdicts([*own, *(one for row in own for one in more.get(row.trial_id, ()))]).values()
        found.append(
            Group(
                key,
                named[own[0].trial_id][1],
                tuple(map(tuple, blocks.values())),
                worst([one.trust for one in verdict]),
                tuple(dict.fromkeys(reason for one in verdict for reason in one.reasons)),
            )
        )
    return found


def _named(scope: Scope, rows: Sequence[ScoreRow], by: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Trial id → key and label of its group; of variants only those in scope have a name."""
    seeds = [f"s{seed}" for seed in grouped(rows, SEED)] if SEED in by else [""] * len(rows)
    if not by or VARIANT in by:
        names = scope.names(rows)
        return {
            row.trial_id: (f"{row.variant_id}{seed}", f"{names[row.variant_id]} {seed}".rstrip())
            for row, seed in zip(rows, seeds, strict=True)
            if row.variant_id in names
        }
    columns = [grouped(rows, factor) for factor in by if factor != SEED]
    labels = (" ".join([*parts, seed]).strip() for *parts, seed in zip(*columns, seeds, strict=True))
    return {row.trial_id: (label, label) for row, label in zip(rows, labels, strict=True)}
