"""Tables of numbers with shades, as text: heatmaps, and whatever else stands in rows and columns under names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.report.text import distinct
from app.terminal.cells import cell_len, padded

_SHADES = " ░▒▓█"


def heatmap(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[tuple[str, str], float | None],
    width: int,
    *,
    full: float,
    signs: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """A table of numbers, each with a block whose shade grows from 0 to `full`, and its sign from `signs` behind it."""
    signs = signs or {}
    tail = 1 if any(signs.values()) else 0
    cells = {
        key: f"{shade(value, full)}{value:5.1f}{signs.get(key, ''):<{tail}}"
        for key, value in values.items()
        if value is not None
    }
    return grid(title, rows, columns, cells, width)


def grid(
    title: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], str], width: int
) -> str:
    """Cells by (row, column) under the columns' names, "-" where there is none; columns that do not fit stand below."""
    least = max([8, *map(len, cells.values())])
    # Rows may have what columns leave at their narrowest, and a third of the width in any case.
    names = dict(zip(rows, distinct(rows, max(16, width // 3, width - len(columns) * (least + 2))), strict=True))
    first = max(map(cell_len, names.values()))
    size = max(least, min(max(map(cell_len, columns)), (width - first) // max(1, len(columns)) - 2))
    fitting = max(1, (width - first) // (size + 2))
    headed = dict(zip(columns, distinct(columns, size), strict=True))
    parts = [title]
    for start in range(0, len(columns), fitting):
        shown = columns[start : start + fitting]
        parts.append(" " * first + "".join(f"  {padded(headed[column], size, right=True)}" for column in shown))
        for row in rows:
            line = (f"  {cells.get((row, column), '-'):>{size}}" for column in shown)
            parts.append(padded(names[row], first) + "".join(line))
    return "\n".join(line.rstrip() for line in parts)


def shade(value: float, full: float) -> str:
    """Two blocks, the denser the nearer `value` is to `full`."""
    return _SHADES[heat(value, full)] * 2


def heat(value: float, full: float) -> int:
    """The shade as a step from 0 to 4."""
    return min(4, max(0, round(4 * value / full)))
