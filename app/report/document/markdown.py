"""A report as Markdown that reads well where GitHub shows it: pipe tables, charts as text in fences, no files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.report.document.record import (
    Block,
    Code,
    Curves,
    Formulas,
    Heading,
    Heat,
    Items,
    Points,
    Report,
    Section,
    Table,
    Text,
)
from app.report.signed import whiskers
from app.report.text import interval
from app.report.whiskers import estimates
from app.terminal.characters import visible

_WIDTH = 96
"""Characters of a chart: what a fence shows without a scroll bar."""
_MARKUP = re.compile(r"([\\`*<>|$~\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_AT_THE_START = re.compile(r"^(\d*)([#+.)-])(?=\s)")


def markdown(report: Report) -> str:
    """The whole report, ending in a newline."""
    parts = [f"# {_plain(report.title)}", _plain(report.subtitle)]
    if report.warnings:
        parts.append("\n>\n".join(f"> **Not finished:** {_plain(line)}" for line in report.warnings))
    for section in report.sections:
        parts += _section(section)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> list[str]:
    return [f"## {_plain(section.title)}", *(_block(block) for block in section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Heading(words):
            return f"### {_plain(words)}"
        case Text(words):
            return _paragraph(words)
        case Items(lines):
            return "\n".join(f"- {_paragraph(line)}" for line in lines)
        case Formulas(lines):
            return _fenced("\n".join(f"{name} = {means}" for name, means in lines), "text")
        case Table():
            return _captioned(block.caption, pipes(block.headings, block.rows, block.right))
        case Code(text, language):
            return _fenced(text, language)
        case Points():
            return _fenced(_drawn(block), "text")
        case Curves():
            return _captioned(block.caption, _curve_table(block))
        case Heat():
            return _captioned(block.caption, _heat_table(block))


def pipes(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] | Sequence[int] = frozenset()
) -> str:
    """A table as GitHub reads it."""
    rule = [" ---: " if place in right else " --- " for place in range(len(headings))]
    lines = [[_cell(text) for text in row] for row in (headings, *rows)]
    written = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([written[0], f"|{'|'.join(rule)}|", *written[1:]])


def _captioned(caption: str, table: str) -> str:
    return f"{_paragraph(caption)}\n\n{table}" if caption else table


def _drawn(block: Points) -> str:
    """The terminal's own chart, with the caption as its title."""
    if block.signed:
        return f"{whiskers(block.caption, block.groups, _WIDTH)}\n{block.axis}"
    parts = [estimates(heading, items, 100.0, _WIDTH) for heading, items in block.groups]
    return "\n".join([block.caption, *(part.lstrip("\n") for part in parts), block.axis])


def _curve_table(block: Curves) -> str:
    """A row for each curve, a column for each place on the axis."""
    places = sorted({x for _, curves in block.panels for curve in curves for x in curve.x})
    several = block.of_panels != ""
    rows = []
    for title, curves in block.panels:
        for curve in curves:
            ends = (interval(low, high, bound=curve.bound) for low, high in zip(curve.low, curve.high, strict=True))
            at = {x: f"{y:.1f} ({end})" for x, y, end in zip(curve.x, curve.y, ends, strict=True)}
            rows.append([*([title] if several else []), curve.label, *(at.get(x, "-") for x in places)])
    named = [block.of_panels, block.of_lines] if several else [block.of_lines]
    headings = [*named, *(f"{block.x_label} {x:g}" if x == places[0] else f"{x:g}" for x in places)]
    return pipes(headings, rows, range(len(named), len(headings)))


def _heat_table(block: Heat) -> str:
    rows = [
        [
            row,
            *(
                f"{block.values[row, column]:.1f}{block.signs.get((row, column), '')}"
                if (row, column) in block.values
                else "-"
                for column in block.columns
            ),
        ]
        for row in block.rows
    ]
    return pipes([block.corner, *block.columns], rows, range(1, len(block.columns) + 1))


def _fenced(text: str, language: str) -> str:
    """In a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _cell(text: str) -> str:
    return _plain(text)


def _paragraph(text: str) -> str:
    return _AT_THE_START.sub(r"\1\\\2", _plain(text))


def _plain(text: str) -> str:
    """Text in one line that means itself, whatever is in it."""
    one_line = _ENTITY.sub("&amp;", visible(" ".join(text.split())))
    return _MARKUP.sub(r"\\\1", one_line).replace("\\<", "&lt;").replace("\\>", "&gt;")
