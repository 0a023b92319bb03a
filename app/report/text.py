"""Tables and numbers as text, for pages that are printed."""

from __future__ import annotations

import datetime
from collections.abc import Sequence


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: Sequence[int] = (), fill: int = -1
) -> str:
    """Columns of text, two spaces apart. `right` names columns to align right; `fill` the one that is cut with "…" when a
    line would be wider than `width` (the last by default)."""
    sizes = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    fill %= len(sizes)
    overflow = sum(sizes) + 2 * (len(sizes) - 1) - width
    if overflow > 0:
        sizes[fill] = max(8, sizes[fill] - overflow)

    def line(cells: Sequence[str]) -> str:
        shown = []
        for index, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
            cut = cell if len(cell) <= size else cell[: size - 1] + "…"
            shown.append(cut.rjust(size) if index in right else cut.ljust(size))
        return "  ".join(shown).rstrip()

    return "\n".join([line(headings), line(["─" * size for size in sizes]), *(line(row) for row in rows)])


def percent(value: float | None) -> str:
    """A share of 1 as a percentage with one decimal; "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def interval(low: float | None, high: float | None, scale: float = 1.0, *, bound: bool = False) -> str:
    """ "37.9–56.5"; "≤56.5" of an upper bound, which has no lower end; "-" where there is none."""
    if low is None or high is None:
        return "-"
    return f"≤{scale * high:.1f}" if bound else f"{scale * low:.1f}–{scale * high:.1f}"


def moment(seconds: float) -> str:
    """A time since the epoch as date and minute, on this machine's clock."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
