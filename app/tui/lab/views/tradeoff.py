"""Clean accuracy against the score of each group, with the Pareto front."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report import whiskers
from app.report.aggregate import Estimate
from app.report.charts import MOST_CURVES, Canvas, letter_of
from app.report.comparison_page import SHORT
from app.report.pooled import MOST_MODELS, At, Outcomes
from app.report.study_charts import drawn_tradeoff
from app.report.study_numbers import Point, points, scale_of
from app.report.text import distinct
from app.report.whiskers import Whisker
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.lab.views.table import Table, View, heading, interval_of, number, over, trust_words
from app.tui.widgets.grid import Column, Line, named_cell
from core.verdict.scoring import SCORES

if TYPE_CHECKING:
    from sqlite_utils import Database

_LEAST_AXIS = 16
"""Characters below which whiskers would tell nothing."""
USUAL = "worst_case"
"""Instead of clean accuracy, which cannot be traded for itself."""


@dataclass(frozen=True)
class Tradeoff:
    """`clean` and `robust` by the points' keys; those of groups that are too many models are absent."""

    study: str
    score: str
    by: str
    found: tuple[Point, ...]
    clean: Mapping[str, Estimate]
    robust: Mapping[str, Estimate]


def score_of(sight: Sight) -> str:
    return USUAL if sight.score == "clean_accuracy" else sight.score


def load(db: Database, sight: Sight, knobs: Knobs) -> Tradeoff | None:  # noqa: ARG001 - no knob of its own
    scope, score = sight.scope, score_of(sight)
    found = points(scope, score, sight.asked.by)
    if not found:
        return None
    clean: dict[str, Estimate] = {}
    robust: dict[str, Estimate] = {}
    room = MOST_MODELS
    for point in sorted(found, key=lambda point: (not point.front, -point.robust)):
        room -= len(point.group.trial_ids)
        if room < 0:
            break
        outcomes = Outcomes(db, sight.study, point.group.blocks)
        for at, known in ((At("clean_accuracy"), clean), (At(score, scope.at(score)), robust)):
            estimate = outcomes.estimate(at)
            if estimate is not None:
                known[point.group.key] = estimate
    return Tradeoff(sight.study, score, sight.grouped, tuple(found), clean, robust)


def table(content: Tradeoff, width: int, wide: bool) -> Table:
    found, scale = content.found, scale_of(content.score)
    full = scale * SCORES[content.score].full
    judged = any(point.group.trust != "ok" for point in found)
    title = SHORT.get(content.score, content.score)
    fixed = [Column("points letter", "", 2, named_cell("letter"))]
    numbers = [
        *([Column("points trust", "trust", 7, named_cell("trust"))] if judged else []),
        *([Column("points clean", "clean", 5, named_cell("clean"), right=True)] if wide else []),
        Column(f"points {title}", title, max(5, len(title)), named_cell("robust"), right=True),
    ]
    longest = max(8, *(len(point.group.label) for point in found))
    left = width - 2 - sum(column.width + 1 for column in (*fixed, *numbers))
    name = max(10, min(longest, 40, left - 1))
    interval = Column("points interval", "95 %", 11, named_cell("interval"))
    room = left - name - 2
    tail = [interval] if wide else []
    if wide and room >= _LEAST_AXIS and content.robust:
        # Points with whiskers say it at a glance; the numbers stand beside them where there is room for both.
        tail = [interval] if room >= 2 * _LEAST_AXIS + interval.width else []
        room -= sum(column.width + 1 for column in tail)
        tail.append(Column(f"points bar {room}", whiskers.axis(full, room), room, named_cell("bar")))
    labels = distinct([point.group.label for point in found], name)
    lines = [
        Line(
            point.group.key,
            {
                "letter": (f"{letter_of(index)}{'★' if point.front else ''}", f"series{index % MOST_CURVES}"),
                "label": (labels[index], ""),
                "trust": (point.group.trust, point.group.trust),
                "clean": (number(point.clean), ""),
                "robust": (number(point.robust), ""),
                "interval": (interval_of(content.robust.get(point.group.key), scale), ""),
                "bar": (whiskers.estimate(_whisker(content, point), full, max(1, room)), ""),
            },
            _in_words(content, point),
            point.group.trial_ids,
        )
        for index, point in sorted(enumerate(found), key=lambda item: (not item[1].front, -item[1].robust))
    ]
    group = Column(f"points group {name}", heading(content.by, name), name, named_cell("label"))
    return Table((*fixed, group, *numbers, *tail), tuple(lines))


def _whisker(content: Tradeoff, point: Point) -> Whisker:
    estimate, scale = content.robust.get(point.group.key), scale_of(content.score)
    if estimate is None or estimate.high is None:
        return Whisker("", point.robust, None, None)
    low = point.robust if estimate.bound or estimate.low is None else scale * estimate.low
    return Whisker("", point.robust, low, scale * estimate.high)


def _in_words(content: Tradeoff, point: Point) -> str:
    clean, robust = content.clean.get(point.group.key), content.robust.get(point.group.key)
    text = f"{point.group.label}: clean {point.clean:.1f} %"
    if clean is not None:
        text += f" ({interval_of(clean, 100.0)})"
    text += f", {content.score} {point.robust:.1f}"
    if robust is not None:
        text += f" ({interval_of(robust, scale_of(content.score))}; 95 %, {over(robust)})"
    front = f" · on the Pareto front: no other {content.by} is better in both" if point.front else ""
    return text + front + trust_words(point.group.trust, point.group.reasons)


def about(sight: Sight, content: Tradeoff) -> tuple[str, ...]:
    at = sight.told if content.score == sight.score else content.score
    parts = [f"clean % against {at}", f"by {content.by}", "★ Pareto front"]
    if len(content.robust) < len(content.found):
        parts.append(f"intervals of the first {MOST_MODELS} models")
    return tuple(parts)


def command(sight: Sight, content: Tradeoff | None) -> str:  # noqa: ARG001 - the sight says it all
    text = f"chart tradeoff --score {score_of(sight)}"
    if sight.asked.by:
        text += f" --by {','.join(sight.asked.by)}"
    return sight.command(text)


def draw(content: Tradeoff, canvas: Canvas, row: Hashable) -> str:  # noqa: ARG001 - every point has its letter
    return drawn_tradeoff(content.study, content.score, content.found, canvas, legend=False)


VIEW = View("Trade-off", load, table, about, command, "No model in sight has this score yet.", draw)
