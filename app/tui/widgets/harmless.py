"""What every line of every screen passes before it is drawn."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from app.terminal.cells import blanked


class Harmless(LineFilter):
    """Takes out characters with which a folder's name, or a note, could command the terminal."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - not what it looks at
        return [segment if segment.control else Segment(blanked(segment.text), segment.style) for segment in segments]
