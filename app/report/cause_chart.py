"""A trait against a score, a point for every variant, a marker for every level of a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.report import charts, traits
from app.report.aggregate import verdicts
from app.report.charts import Canvas
from app.report.scope import Scope
from app.report.study_charts import with_notes
from app.report.study_numbers import scale_of, unit_of
from app.report.text import wrapped
from app.report.variants import grouped
from core.names import FACTORS
from core.traits import TRAITS
from core.verdict.findings.causes import spearman
from storage import queries
from storage.traits import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.rows import ScoreRow

_LEFT_TO_TRADEOFF = "clean_accuracy"
"""Not chosen by itself: `chart tradeoff` shows it."""
_NEXT = 3
"""Other traits that are named with how much they go with the score."""


@dataclass(frozen=True)
class TraitPoint:
    """A variant: means over its seeds, the score as shown."""

    variant_id: str
    levels: tuple[str, ...]
    """Of each of FACTORS."""
    traits: dict[str, float]
    score: float
    trust: str


def trait_points(scope: Scope, score: str) -> list[TraitPoint]:
    """Every variant that has the score, in the order of the study; a trait is the mean of the seeds that have it."""
    rows = [row for row in scope.kept(queries.scores(scope.db, scope.study, score)) if row.value is not None]
    measured, judged = known(scope.db, scope.study), verdicts(rows)
    levels = dict(zip((row.variant_id for row in rows), _levels(rows), strict=True))
    members: dict[str, list[ScoreRow]] = {}
    for row in rows:
        members.setdefault(row.variant_id, []).append(row)
    found = []
    for variant, own in members.items():
        values = {
            name: [measured[row.trial_id][name] for row in own if name in measured.get(row.trial_id, {})]
            for name in TRAITS
        }
        found.append(
            TraitPoint(
                variant,
                levels[variant],
                {name: float(np.mean(some)) for name, some in values.items() if some},
                scale_of(score) * float(np.mean([row.value for row in own])),
                judged[variant].trust,
            )
        )
    return found


def correlations(points: Sequence[TraitPoint]) -> dict[str, float]:
    """Trait → Spearman's rank correlation with the score over variants, the strongest first; those that differ nowhere are left
    out."""
    found = {}
    for name in TRAITS:
        pairs = [(point.traits[name], point.score) for point in points if name in point.traits]
        rho = spearman(*np.array(pairs).T)[0] if len(pairs) > 2 else None
        if rho is not None:
            found[name] = rho
    return dict(sorted(found.items(), key=lambda one: -abs(one[1])))


def causes(scope: Scope, canvas: Canvas, score: str, trait: str | None, by: str | None, *, about: bool = True) -> str:
    """Without `trait` the one that goes most with the score, without `by` the factor whose levels tell most of it apart. Not
    `about` what the trait is and how much it goes with the score: the chart alone, where there is little room."""
    points = trait_points(scope, score)
    if not points:
        return scope.nothing()
    strength = correlations(points)
    chosen = trait or next((name for name in strength if name != _LEFT_TO_TRADEOFF), "margin")
    drawn = [point for point in points if chosen in point.traits]
    if not drawn:
        line = (
            f"{scope.study}: {traits.words(chosen)} is not known of any model; models that an earlier version trained are "
            "looked at when their study is run again: innate run"
        )
        return "\n".join(wrapped([line], canvas.columns))
    factor = by or _telling(drawn)
    place = FACTORS.index(factor)
    series = [
        charts.Curve(
            level,
            [TRAITS[chosen].scale * point.traits[chosen] for point in drawn if point.levels[place] == level],
            [point.score for point in drawn if point.levels[place] == level],
        )
        for level in dict.fromkeys(point.levels[place] for point in drawn)
    ]
    text = charts.marked(
        f"{scope.study}: {traits.words(chosen)} against {score}, by {factor}",
        series,
        x_label=traits.axis(chosen),
        y_label=f"{score}{unit_of(score).replace(' in', ',')}",
        canvas=canvas,
    )
    if not about:
        return text
    return with_notes(
        scope, canvas, "\n".join([text, *wrapped(_about(points, drawn, chosen, strength), canvas.columns)])
    )


def _levels(rows: Sequence[ScoreRow]) -> list[tuple[str, ...]]:
    return list(zip(*(grouped(rows, factor) for factor in FACTORS), strict=True))


def _telling(points: Sequence[TraitPoint]) -> str:
    """The factor between whose levels most of the score's variance lies, for the levels that it has; the activation where none
    varies."""
    scores = np.array([point.score for point in points])

    def within(place: int) -> float:
        found = [point.levels[place] for point in points]
        groups = [scores[[level == one for level in found]] for one in dict.fromkeys(found)]
        left = max(1, len(scores) - len(groups))
        return sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / left

    there = [factor for place, factor in enumerate(FACTORS) if len({point.levels[place] for point in points}) > 1]
    return min(there, key=lambda factor: within(FACTORS.index(factor)), default="activation")


def _about(
    points: Sequence[TraitPoint], drawn: Sequence[TraitPoint], chosen: str, strength: dict[str, float]
) -> list[str]:
    """What the trait is, how much it goes with the score, what others do, and what to make of it."""
    lines = [f"{traits.words(chosen)}: {TRAITS[chosen].summary}"]
    if chosen in strength:
        others = [f"{traits.words(name)} {rho:+.2f}" for name, rho in strength.items() if name != chosen][:_NEXT]
        more = f"; {', '.join(others)}" if others else ""
        lines.append(
            f"rank correlation {strength[chosen]:+.2f} over {len(drawn)} variants, means over seeds{more}. Unpaired: what moves "
            "with an effect, all else equal, says innate findings"
        )
    doubted = [f"{count} {kind}" for kind in ("invalid", "suspect")
               for count in [sum(point.trust == kind for point in drawn)] if count]  # fmt: skip
    if doubted:
        lines.append(f"of these variants {' and '.join(doubted)}")
    if len(drawn) < len(points):
        lines.append(f"{len(points) - len(drawn)} variants are left out: it is not known of them")
    return lines
