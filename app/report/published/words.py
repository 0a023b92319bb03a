"""Published tables as text, by themselves and beside a study's results."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from app.report.published import Row, Table
from app.report.published.comparable import Beside, Difference, Own, eps_text
from app.report.text import in_room, no_room_for, percent, table, wrapped
from app.report.variants import levels, varying
from core.names import NORM_SIGNS

_LEAST = 16
"""Characters that a name gets at least; a longer one goes over several lines."""
_MOST = 24
"""Characters that other text gets at most, likewise."""
_OWN = 12
"""Variants of the study that stand in one column with what was published, the best."""
_NUMBERS = ("clean", "robust", "±", "best known")


def listed(tables: Sequence[Table], width: int) -> str:
    """What there is, a line or two each."""
    lines = []
    room = width - 2 - max(len(one.name) for one in tables)
    for one in tables:
        first, *others = textwrap.wrap(f"{one.title}; {len(one.rows)} rows of {one.dated.year}", room)
        lines += [[one.name, first], *(["", other] for other in others)]
    return table(["table", "what"], lines, width)


def in_full(one: Table, width: int) -> str:
    """A table with its notes and where it is from."""
    headings = ["attack" if one.of == "attacks" else "model", "clean", "robust", "±", "best known", "further images"]
    cells = [
        [
            row.name,
            _exact(row.clean),
            _exact(row.robust),
            _exact(row.deviation),
            _exact(row.best_known),
            "" if row.further_data in (None, "none") else row.further_data,
        ]
        for row in one.rows
    ]
    headings, cells = _filled(headings, cells)
    headings, cells, left_out = in_room(headings, cells, max(width, _LEAST), _spared(cells, width))
    foot = [f"in %; robust: {_under(one)}"]
    if "±" in headings:
        foot.append("±: standard deviation over seeds")
    if "best known" in headings:
        foot.append("best known: under an attack made for the model, where that is lower")
    if left_out:
        foot.append(no_room_for(left_out))
    return "\n".join(
        [
            *wrapped([one.title], width),
            _columns(headings, cells, width),
            "",
            *wrapped([*foot, *one.notes], width),
            *_source(one, width),
        ]
    )


def _source(one: Table, width: int) -> list[str]:
    """Where it is from; the address stays whole, to be taken along."""
    return [*wrapped([f"Source: {one.source} ({one.dated}, read {one.retrieved})"], width), one.url]


def set_beside(found: Sequence[Beside], study: str, dataset: str, width: int) -> str:
    """Every table, or why none is there."""
    if not found:
        return "\n".join(wrapped([f"No published table is on {dataset}; innate published lists them."], width))
    return "\n\n".join(_beside(one, study, width) for one in found)


def _beside(one: Beside, study: str, width: int) -> str:
    head = f"Published, not measured here: {one.table.title}"
    if not one.comparable:
        why = "; ".join(_excluding(difference) for difference in one.differences if difference.excludes)
        rows = _columns(*_published_cells(one.table), width)
        return "\n".join(
            [*wrapped([head, f"Not comparable with {study}: {why}."], width), rows, "", *_foot(one, width)]
        )
    return "\n".join([*wrapped([head], width), _one_column(one, width), "", *_foot(one, width)])


def _one_column(one: Beside, width: int) -> str:
    """The study's variants and the published rows by robust accuracy, which they have at the same norm and ε of the same set."""
    nets = _nets_differ(one.table)
    rows: list[tuple[float, list[str]]] = [
        (
            own.robust,
            [
                name,
                (own.variant.architecture or "") if nets else "",
                percent(own.variant.clean_accuracy),
                percent(own.robust),
                by,
            ],
        )
        for own, name, by in list(zip(one.own, _names(one.own, nets=nets), _verdicts(one.own), strict=True))[:_OWN]
    ]
    rows += [(row.least, [*_cells(row, nets=nets), "published"]) for row in one.table.rows]
    rows.sort(key=lambda row: -row[0])
    headings, cells = _filled(["what", "architecture", "clean", "robust", "from"], [cells for _, cells in rows])
    headings, cells, _ = in_room(headings, cells, width, _spared(cells, width, "architecture"))
    return _columns(headings, cells, width)


def _published_cells(one: Table) -> tuple[list[str], list[list[str]]]:
    return _filled(
        ["what", "architecture", "clean", "robust"], [_cells(row, nets=_nets_differ(one)) for row in one.rows]
    )


def _nets_differ(one: Table) -> bool:
    """Whether the architecture says more of a row than of the table, which the notes below do."""
    return len({row.architecture for row in one.rows}) > 1


def _cells(row: Row, *, nets: bool) -> list[str]:
    return [row.name, (row.architecture or "") if nets else "", percent(row.clean), percent(row.least)]


def _names(own: Sequence[Own], *, nets: bool) -> list[str]:
    """By the factors that differ; `nets`: but the architecture, which has a column."""
    rows = [one.variant for one in own]
    factors = [factor for factor in varying(rows) if not (nets and factor == "architecture")]
    factors = factors or [*([] if nets else ["architecture"]), "optimizer", "activation", "defense"]
    columns = [levels(rows, factor) for factor in factors]
    return [" ".join(name for name in names if name not in ("-", "none")) for names in zip(*columns, strict=True)]


def _verdicts(own: Sequence[Own]) -> list[str]:
    return [f"here, {one.variant.trust}" for one in own]


def _foot(one: Beside, width: int) -> list[str]:
    least = ", or what is known to be less" if any(row.best_known is not None for row in one.table.rows) else ""
    lines = [f"in %; robust: {_under(one.table)}{least}"]
    if one.comparable:
        lines[0] += "; here the worst case over the study's attacks at the same norm and ε"
        if len(one.own) > _OWN:
            lines.append(f"The best {_OWN} of {len(one.own)} variants are shown.")
    lines += [_told(difference) for difference in one.differences if not difference.excludes]
    return [*wrapped(lines, width), *_source(one.table, width)]


def _under(one: Table) -> str:
    at = f"{NORM_SIGNS[one.norm]} ε = {eps_text(one.eps)}"
    if one.of == "attacks":
        return f"accuracy of one model under each attack at {at}"
    return f"under {', '.join(dict.fromkeys(row.attack for row in one.rows))} at {at}"


def _excluding(one: Difference) -> str:
    sign = {"radius": "ε ", "norm": "norm "}.get(one.what, "")
    here, there = (NORM_SIGNS.get(text, text) for text in (one.here, one.there))
    return f"{sign}{here} here, {there} there" if sign else f"{one.what} {here} here, {there} there"


def _told(one: Difference) -> str:
    moves = f" ({one.moves})" if one.moves else ""
    return f"differs: {one.what}: {one.here} here, {one.there} there{moves}"


def _exact(value: float | None) -> str:
    """In per cent, as it was published."""
    return "-" if value is None else f"{100.0 * value:.2f}"


def _folded(name: str, room: int) -> list[str]:
    """A name over as many lines as it takes, broken where its parts meet."""
    lines = [""]
    for part in re.split(r"(?<=[_ -])", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _filled(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Without the columns in which nobody has anything."""
    kept = [place for place in range(len(headings)) if any(row[place] not in ("", "-") for row in cells)]
    return [headings[place] for place in kept], [[row[place] for place in kept] for row in cells]


def _spared(cells: Sequence[Sequence[str]], width: int, *wanted: str) -> Sequence[str]:
    """Columns to leave out where the terminal is so narrow that even names over several lines do not fit."""
    others = sum(min(_MOST, max(len(row[place]) for row in cells)) + 2 for place in range(1, len(cells[0])))
    return (*wanted, "further images", "±") if others + _LEAST > width else ()


def _columns(headings: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> str:
    """A table whose text goes over as many lines as it takes: nothing is cut."""
    sizes = [max(len(headings[place]), *(len(row[place]) for row in cells)) for place in range(len(headings))]
    rooms = [size if heading in _NUMBERS else min(size, _MOST) for size, heading in zip(sizes, headings, strict=True)]
    rooms[0] = max(_LEAST, width - sum(room + 2 for room in rooms[1:]))
    lines = []
    for row in cells:
        folded = [_folded(cell, room) for cell, room in zip(row, rooms, strict=True)]
        lines += [list(parts) for parts in zip_longest(*folded, fillvalue="")]
    right = [place for place, heading in enumerate(headings) if heading in _NUMBERS]
    return table(headings, lines, width, right=right)
