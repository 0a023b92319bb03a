"""What a report is made of: sections of typed blocks, the same for every form that it is rendered in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.report.whiskers import Whisker


@dataclass(frozen=True)
class Heading:
    """Of what follows within a section."""

    words: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Formulas:
    """Names with what they stand for, in plain characters."""

    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Cells as they are to be read; `right` names the columns that hold numbers."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Code:
    """What is to be copied as it stands; `language` is what to highlight it as."""

    text: str
    language: str


@dataclass(frozen=True)
class Points:
    """Values with their intervals on one axis, in groups under a heading ("" for none); `signed`: differences, around 0."""

    caption: str
    groups: tuple[tuple[str, tuple[Whisker, ...]], ...]
    axis: str
    signed: bool = False


@dataclass(frozen=True)
class Curve:
    """One labelled line through points (x ascending), with the ends of the interval around each; None where there is none."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    bound: bool = False
    """Upper bounds: nothing is said of how far below."""


@dataclass(frozen=True)
class Curves:
    """Lines with bands, in one panel or several beside each other with the same axes; y from 0 to 100. Within a panel labels
    differ, and the same label is the same choice in all: `of_panels` and `of_lines` say of what ("" for a single panel)."""

    caption: str
    of_panels: str
    of_lines: str
    panels: tuple[tuple[str, tuple[Curve, ...]], ...]
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Heat:
    """Two factors against each other, values from 0 to 100; `signs` mark cells that are doubted."""

    caption: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[tuple[str, str], float]
    signs: Mapping[tuple[str, str], str]


Block = Heading | Text | Items | Formulas | Table | Code | Points | Curves | Heat


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """`warnings` are said before anything else: what is missing, so that no number is read as final."""

    title: str
    subtitle: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
