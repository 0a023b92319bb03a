"""Accuracy against ε of each group, with 95 % bands."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.report.charts import MARKERS, MOST_CURVES, Band, Canvas
from app.report.grid import SINGLE
from app.report.pooled import MOST_MODELS, Alone
from app.report.study_charts import drawn_curves
from app.report.study_numbers import Line, Robustness, robustness
from app.report.text import distinct
from app.report.worst_curves import WorstCurve, worst_curve
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.lab.views.table import Table, View, heading, interval_of, number, series, trust_words
from app.tui.widgets import grid
from app.tui.widgets.grid import Column, named_cell
from core.errors import NotFound
from storage.image_outcomes import attacks_named

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Curves:
    """`bands` by the lines' keys, `unbanded` why there are not all; `attack` None: the worst case over all. `eps` is the one that
    scores of one ε are read at."""

    found: Robustness
    bands: Mapping[str, WorstCurve]
    unbanded: str
    attack: str | None
    eps: float | None
    by: str


def load(db: Database, sight: Sight, knobs: Knobs) -> Curves | None:
    scope, by, attack = sight.scope, sight.asked.by, knobs.attack
    try:
        found = robustness(scope, attack, by)
    except NotFound:  # chosen in another study
        found, attack = robustness(scope, None, by), None
    if not found.lines:
        return None
    if sight.score in SINGLE:  # the best at that ε first, as among the Lab's rows
        found = replace(found, lines=tuple(sorted(found.lines, key=lambda line: -_at(line, sight.eps))))
    return Curves(found, *_bands(db, sight, found, attack), attack, sight.eps, sight.grouped)


def _bands(db: Database, sight: Sight, found: Robustness, attack: str | None) -> tuple[dict[str, WorstCurve], str]:
    """By the lines' keys; and why not of all."""
    study, bands, room = sight.study, dict[str, WorstCurve](), MOST_MODELS
    ids = [] if attack is None else attacks_named(db, study, attack)
    if len(ids) > 1:
        return {}, f"no intervals: {len(ids)} attacks of the study are called {attack}"
    for line in found.lines:
        room -= len(line.group.trial_ids)
        if room < 0:
            return bands, f"no intervals: more than {MOST_MODELS} models"
        under = Alone(ids[0], [x for x in line.curve.x if x > 0]) if ids else None
        band = worst_curve(db, study, line.group.key, line.group.blocks, under)
        if band is not None:
            bands[line.group.key] = band
    return bands, ""


def _at(line: Line, eps: float | None) -> float:
    return dict(zip(line.curve.x, line.curve.y, strict=True)).get(eps or 0.0, -1.0)


def table(content: Curves, width: int, wide: bool) -> Table:
    found = content.found
    marks = sorted({x for line in found.lines for x in line.curve.x})
    shown = marks if wide else [content.eps if content.eps in marks else marks[-1]]
    judged = any(line.group.trust != "ok" for line in found.lines)
    longest = max(8, *(len(line.curve.label) for line in found.lines))
    name = max(12, min(longest, width - 4 - (8 if judged else 0) - 7 * len(shown) - 1))
    columns = [
        Column("lines mark", "", 1, named_cell("mark")),
        Column(f"lines group {name}", heading(content.by, name), name, named_cell("label")),
        *([Column("lines trust", "trust", 7, named_cell("trust"))] if judged else []),
        *(Column(f"lines {x:g}", _heading(x, content.eps), 6, named_cell(f"at {x:g}"), right=True) for x in shown),
    ]
    labels = distinct([line.curve.label for line in found.lines], name)
    lines = [
        grid.Line(
            line.group.key,
            {
                "mark": (MARKERS[index] if index < MOST_CURVES else "", series(index, MOST_CURVES)),
                "label": (label, ""),
                "trust": (line.group.trust, line.group.trust),
                **{f"at {x:g}": ("-", "") for x in marks},
                **{f"at {x:g}": (number(y), "") for x, y in zip(line.curve.x, line.curve.y, strict=True)},
            },
            _in_words(line, content.bands.get(line.group.key)),
            line.group.trial_ids,
        )
        for index, (line, label) in enumerate(zip(found.lines, labels, strict=True))
    ]
    return Table(tuple(columns), tuple(lines))


def _heading(x: float, eps: float | None) -> str:
    """The ε that is asked for between signs, as the Lab has it above its rows."""
    return "clean" if x == 0 else f"‹{x:.4g}›" if x == eps else f"{x:.4g}"


def _in_words(line: Line, band: WorstCurve | None) -> str:
    known = {} if band is None else dict(zip(band.eps, band.points, strict=True))

    def at(x: float, y: float) -> str:
        told = f" ({interval_of(known[x], 100.0)})" if x in known else ""
        return f"{'clean' if x == 0 else f'ε {x:.4g}'} {y:.1f} %{told}"

    numbers = " · ".join(at(x, y) for x, y in zip(line.curve.x, line.curve.y, strict=True))
    return f"{line.curve.label}: {numbers}{trust_words(line.group.trust, line.group.reasons)}"


def about(sight: Sight, content: Curves) -> tuple[str, ...]:  # noqa: ARG001 - what is drawn stands in the content
    count = len(content.found.lines)
    parts = [f"accuracy under {content.attack}, %" if content.attack else "worst case, %", f"by {content.by}"]
    if count > MOST_CURVES:
        parts.append(f"{MOST_CURVES} of {count} drawn")
    if content.bands:
        parts.append("░ 95 % of the row under the cursor")
    elif content.unbanded:
        parts.append(content.unbanded)
    return tuple(parts)


def command(sight: Sight, content: Curves | None) -> str:
    text = "chart curves"
    if sight.asked.by:
        text += f" --by {','.join(sight.asked.by)}"
    if content is not None and content.attack:
        text += f" --attack {content.attack}"
    return sight.command(text, eps=False)


def draw(content: Curves, canvas: Canvas, row: Hashable) -> str:
    """With the band of the row under the cursor, if it is one of those that are drawn."""
    drawn = content.found.lines[:MOST_CURVES]
    place = next((index for index, line in enumerate(drawn) if line.group.key == row), None)
    band = None if place is None else content.bands.get(drawn[place].group.key)
    return drawn_curves(
        content.found, canvas, legend=False, band=None if place is None or band is None else _shaded(band, place)
    )


def _shaded(band: WorstCurve, place: int) -> Band | None:
    """In %; an upper bound has what lies above it only."""
    if len(band.eps) < 2 or any(one.value is None or one.high is None for one in band.points):
        return None
    low = [100.0 * ((one.value if one.bound or one.low is None else one.low) or 0.0) for one in band.points]
    return Band(band.eps, low, [100.0 * (one.high or 0.0) for one in band.points], place)


VIEW = View("Curves", load, table, about, command, "No model in sight was attacked at any ε yet.", draw)
