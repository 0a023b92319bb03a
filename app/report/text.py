"""Tables and numbers as text, for pages that are printed."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Mapping, Sequence

from app.terminal.cells import cell_len, cut, fitted
from app.terminal.characters import visible

_SECOND_CELL = "\ue000"
"""For private use: no text has it."""


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    right: Sequence[int] = (),
    fill: int = -1,
    apart: bool = False,
) -> str:
    """Columns of text, two spaces apart, each row a line whatever is in its cells. `right` names columns to align right; `fill`
    the one that is cut with "…" when a line would be wider than `width` (the last by default); `apart`: names that must stay
    different (`distinct`)."""
    rows = [[visible(cell, in_cell=True) for cell in row] for row in rows]
    sizes = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    fill %= len(sizes)
    overflow = sum(sizes) + 2 * (len(sizes) - 1) - width
    if overflow > 0:
        sizes[fill] = max(8, sizes[fill] - overflow)
        if apart:
            names = distinct([row[fill] for row in rows], sizes[fill])
            rows = [[*row[:fill], name, *row[fill + 1 :]] for row, name in zip(rows, names, strict=True)]

    def line(cells: Sequence[str]) -> str:
        shown = zip(cells, sizes, strict=True)
        return "  ".join(fitted(cell, size, right=index in right) for index, (cell, size) in enumerate(shown)).rstrip()

    return "\n".join([line(headings), line(["─" * size for size in sizes]), *(line(row) for row in rows)])


def in_room(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, spare: Sequence[str]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings and rows without the columns of `spare`, one after another, for as long as they are wider than `width`; and which
    were left out."""
    kept, left_out = [list(headings), *map(list, rows)], []
    for name in spare:
        if name in kept[0] and taken(kept) > width:
            place = kept[0].index(name)
            kept = [[*cells[:place], *cells[place + 1 :]] for cells in kept]
            left_out.append(name)
    return kept[0], kept[1:], left_out


def taken(rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table of these cells takes."""
    return sum(max(map(cell_len, column)) + 2 for column in zip(*rows, strict=True)) - 2


def no_room_for(left_out: Sequence[str]) -> str:
    """The note below a table that lacks some of its columns."""
    return f"(no room for {', '.join(left_out)}: a wider terminal has it)"


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Each in at most `width` cells (at least 8), so that different names stay different.

    Words that all of them have go first, where they are too long; then each is cut, at its end, in its middle or at its start,
    whichever leaves them all apart; where nothing does they are numbered.
    """
    width = max(8, width)
    different = list(dict.fromkeys(names))
    if all(cell_len(name) <= width for name in different):
        return list(names)
    common = _in_all(different)
    bare = {name: _without(name, common) for name in different}
    shown = _cut(bare, width)
    if shown is None:
        digits = len(str(len(different)))
        shown = {
            name: f"{number:>{digits}} {cut(bare[name], width - digits - 1)}"
            for number, name in enumerate(different, 1)
        }
    return [shown[name] for name in names]


def told_apart(names: Sequence[str], width: int) -> bool:
    """Whether `distinct` has to number none of them."""
    different = list(dict.fromkeys(names))
    bare = {name: _without(name, _in_all(different)) for name in different}
    return all(cell_len(name) <= max(8, width) for name in different) or _cut(bare, max(8, width)) is not None


def _cut(bare: Mapping[str, str], width: int) -> dict[str, str] | None:
    """Each cut alike, so that all stay apart; None where that cannot be."""
    for way in (cut, _middle, _start):
        shown = {name: way(text, width) for name, text in bare.items()}
        if len(set(shown.values())) == len(bare):
            return shown
    return None


def _in_all(names: Sequence[str]) -> set[str]:
    """The words that every name has; none of a single name."""
    return set.intersection(*(set(name.split()) for name in names)) if len(names) > 1 else set()


def _without(name: str, words: set[str]) -> str:
    """A name that consists of nothing else keeps them."""
    return " ".join(word for word in name.split() if word not in words) or name


def _middle(name: str, width: int) -> str:
    half = (width - 1) // 2
    return name if cell_len(name) <= width else f"{cut(name, width - half)}{_tail(name, half)}"


def _start(name: str, width: int) -> str:
    return name if cell_len(name) <= width else f"…{_tail(name, width - 1)}"


def _tail(name: str, width: int) -> str:
    """What fits into the last `width` cells, without what is left of an option's name: of "steps=2" not "eps=2" but "=2"."""
    first = next(place for place in range(len(name) + 1) if cell_len(name[place:]) <= width)
    tail = name[first:]
    word, space, rest = tail.partition(" ")
    if not name[:first].endswith(" ") and "=" in word:
        word = word[word.index("=") :]
    return word + space + rest


def ranges(places: Sequence[int]) -> str:
    """Ascending numbers in few characters: "1,3–5"."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ",".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def wrapped(lines: Sequence[str], width: int, indent: int = 4) -> list[str]:
    """Prose folded to the width, continued with an indent; names and options of commands stay whole."""
    return [
        part.replace(_SECOND_CELL, "")
        for line in lines
        for part in textwrap.wrap(_by_cells(line), width, subsequent_indent=" " * indent, break_on_hyphens=False)
    ]


def _by_cells(line: str) -> str:
    """As many characters as it takes cells, for what counts characters."""
    if line.isascii():
        return line
    return "".join(character + _SECOND_CELL * (cell_len(character) - 1) for character in line)


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
