"""What Compare loaded as tables for its Grid: columns for the room there is, a row per variant, level or key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.report import cells, charts, whiskers
from app.report.aggregate import Estimate
from app.report.study_numbers import HeatTable, Placed, Point, Robustness
from app.report.text import distinct, interval
from app.tui.compare.views import Differences, Loaded
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column, Grid, Line, named_cell
from core.names import short_id


class CompareGrid(Grid[Line]):
    """A Grid whose cells can also be as warm as their number is high."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"grid--heat{step}" for step in range(5)}
    DEFAULT_CSS = """
    CompareGrid > .grid--heat1 { background: $panel; }
    CompareGrid > .grid--heat2 { background: $primary-muted; }
    CompareGrid > .grid--heat3 { background: $primary; color: $background; }
    CompareGrid > .grid--heat4 { background: $primary; color: $background; text-style: bold; }
    """


@dataclass(frozen=True)
class Table:
    """What a Grid is filled with."""

    columns: tuple[Column[Line], ...]
    lines: tuple[Line, ...]


def table(loaded: Loaded, width: int, *, wide: bool) -> Table:
    """The view's table for `width` columns of text."""
    content = loaded.content
    match content:
        case HeatTable():
            return _heat(content)
        case Robustness():
            return _lines(content, wide=wide)
        case Differences():
            return _differences(content)
        case (Point(), *_):
            return _points(content, loaded.choice.robust, wide=wide)  # type: ignore[arg-type]
        case (Placed(), *_):
            return _bars(content, loaded.choice.score, width, wide=wide)  # type: ignore[arg-type]
    return Table((), ())


def _bars(found: Sequence[Placed], score: str, width: int, *, wide: bool) -> Table:
    longest = max(len(one.label) for one in found)
    name = min(max(longest, 8), 44 if wide else 24)
    labels = distinct([one.label for one in found], name)
    judged = any(one.trust != "ok" for one in found)
    fixed = [
        Column(f"bars variant {name}", "variant", name, named_cell("label")),
        Column("bars score", score if wide else "", len(score) if wide else 5, named_cell("value"), right=True),
    ]
    tail = [Column("bars interval", "95 %", 11, named_cell("interval"))] if wide else []
    tail += [Column("bars n", "seeds", 5, named_cell("n"), right=True)] if wide else []
    tail += [Column("bars trust", "trust", 7, named_cell("trust"))] if judged else []
    room = width - sum(column.width + 1 for column in (*fixed, *tail)) - 1 - (6 if wide else 0)
    room = max(10, room)
    # Columns of a Grid never get narrower; another room is another column.
    bar = Column(f"bars bar {room}", whiskers.axis(100.0, room), room, named_cell("bar"))
    return Table(
        (*fixed, bar, *tail),
        tuple(
            Line(
                one.variant_id,
                {
                    "label": (label, ""),
                    "value": (_number(one.estimate.value), ""),
                    "interval": (_interval(one.estimate), ""),
                    "n": (str(one.estimate.n), ""),
                    "trust": (one.trust, one.trust),
                    "bar": (whiskers.estimate(one.whisker, 100.0, room), one.trust),
                },
                _in_words(one, score),
                one.trial_ids,
            )
            for one, label in zip(found, labels, strict=True)
        ),
    )


def _in_words(one: Placed, score: str) -> str:
    estimate = one.estimate
    basis = "over images, one seed" if estimate.basis == "images" else f"over {estimate.n} seeds and images"
    interval = f" (95 %: {_interval(estimate)}, {basis})" if estimate.low is not None else ""
    return f"{one.label}: {score} {_number(estimate.value)}{interval}{_trust_words(one.trust, one.reasons)}"


def _trust_words(trust: str, reasons: Sequence[str]) -> str:
    return "" if trust == "ok" else f" · {trust}: {'; '.join(reasons)}"


def _heat(found: HeatTable) -> Table:
    first = max(len(name) for name in (*found.rows, found.factors[0]))
    columns = [Column("heat row", found.factors[0], first + 1, named_cell("label"))]
    for place, name in enumerate(found.columns):
        columns.append(
            Column(f"heat {place} {name}", name, max(15, len(name) + 1), named_cell(f"at {name}"), right=True)
        )
    lines = [
        Line(
            name,
            {"label": (name, ""), **{f"at {other}": _heat_cell(found, name, other) for other in found.columns}},
            " · ".join(
                f"{other} {_number(found.values.get((name, other)))}"
                + ("" if found.trust.get((name, other), "ok") == "ok" else f" {found.trust[name, other]}")
                for other in found.columns
            ),
        )
        for name in found.rows
    ]
    return Table(tuple(columns), tuple(lines))


def _heat_cell(found: HeatTable, row: str, column: str) -> Cell:
    value, trust = found.values.get((row, column)), found.trust.get((row, column), "ok")
    if value is None:
        return "-", "dim"
    word = "" if trust == "ok" else f" {trust}"
    return f"{cells.shade(value, 100.0)}{value:5.1f}{word}", f"heat{cells.heat(value, 100.0)}"


def _lines(found: Robustness, *, wide: bool) -> Table:
    marks = sorted({x for line in found.lines for x in line.curve.x})
    judged = any(line.trust != "ok" for line in found.lines)
    columns = [
        Column("lines mark", "", 1, named_cell("mark")),
        Column(f"lines variant {wide}", "variant", 30 if wide else 15, named_cell("label")),
        *([Column("lines trust", "trust", 7, named_cell("trust"))] if judged else []),
        *(
            Column(f"lines {x:g}", "clean" if x == 0 else f"{x:.4g}", 6, named_cell(f"at {x:g}"), right=True)
            for x in marks
        ),
    ]
    labels = distinct([line.curve.label for line in found.lines], 30 if wide else 15)
    lines = [
        Line(
            line.variant_id,
            {
                "mark": (charts.MARKERS[index] if index < charts.MOST_CURVES else "", ""),
                "label": (label, ""),
                "trust": (line.trust, line.trust),
                **{f"at {x:g}": ("-", "") for x in marks},
                **{f"at {x:g}": (_number(y), "") for x, y in zip(line.curve.x, line.curve.y, strict=True)},
            },
            f"{line.curve.label}: "
            + " · ".join(
                f"{'clean' if x == 0 else f'ε {x:.4g}'} {y:.1f} %"
                for x, y in zip(line.curve.x, line.curve.y, strict=True)
            )
            + _trust_words(line.trust, line.reasons),
            line.trial_ids,
        )
        for index, (line, label) in enumerate(zip(found.lines, labels, strict=True))
    ]
    return Table(tuple(columns), tuple(lines))


def _points(found: Sequence[Point], score: str, *, wide: bool) -> Table:
    judged = any(point.trust != "ok" for point in found)
    columns = [
        Column("points letter", "", 1, named_cell("letter")),
        Column("points front", "", 1, named_cell("front")),
        Column(f"points variant {wide}", "variant", 30 if wide else 15, named_cell("label")),
        *([Column("points trust", "trust", 7, named_cell("trust"))] if judged else []),
        Column("points clean", "clean", 6, named_cell("clean"), right=True),
        Column("points robust", score, max(6, len(score)), named_cell("robust"), right=True),
    ]
    labels = distinct([point.label for point in found], 30 if wide else 15)
    lines = [
        Line(
            point.variant_id,
            {
                "letter": (charts.letter_of(index), ""),
                "label": (labels[index], ""),
                "clean": (_number(point.clean), ""),
                "robust": (_number(point.robust), ""),
                "front": ("★" if point.front else "", ""),
                "trust": (point.trust, point.trust),
            },
            f"{point.label}: clean {point.clean:.1f} %, {score} {point.robust:.1f}"
            + (" · on the Pareto front: no other variant is better in both" if point.front else "")
            + _trust_words(point.trust, point.reasons),
            point.trial_ids,
        )
        for index, point in sorted(enumerate(found), key=lambda item: (not item[1].front, -item[1].robust))
    ]
    return Table(tuple(columns), tuple(lines))


def _differences(found: Differences) -> Table:
    width = max(9, *(min(18, len(value)) for value in found.values.values()))
    columns = [Column("differences key", "differs", 26, named_cell("key"))]
    for run in found.runs:
        columns.append(Column(f"differences {run}", short_id(run[1]), max(10, width), named_cell(f"of {run}")))
    lines = [
        Line(
            key,
            {
                "key": (f"→ {key}", "title") if key in found.scores else (key, ""),
                **{f"of {run}": _value_cell(found.values[key, run]) for run in found.runs},
            },
            f"{key}: " + " · ".join(f"{short_id(run[1])} {found.values[key, run]}" for run in found.runs),
        )
        for key in (*found.scores, *found.keys)
    ]
    return Table(tuple(columns), tuple(lines))


def _value_cell(value: str) -> Cell:
    """A state or a verdict in its colour."""
    return value, value if value in STATE_COLOURS else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval(estimate: Estimate) -> str:
    return interval(estimate.low, estimate.high, bound=estimate.bound)
