"""Images in the terminal's own pixels, which Textual does not draw: the screens step aside for them until a key is pressed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from textual.app import App, SuspendNotSupported

from app.report import pixel_terminal
from app.report.pixels import Picture

PATIENCE = 2.0
"""Seconds for the terminal's answer over a slow line: what comes later would be taken for keys."""
_NEITHER = "this terminal speaks neither Kitty's protocol nor Sixel, so half blocks stay"
_OWN_SCREEN, _LEFT = "\x1b[?1049h\x1b[2J\x1b[H", "\x1b[?1049l"
"""The terminal's alternate screen: nothing of it stays among what the shell has printed."""
_FORGET = {"kitty": "\x1b_Ga=d,q=2\x1b\\", "sixel": ""}
"""Kitty keeps pictures until they are deleted."""


class RealPixels:
    """Asks the terminal once, when pixels are first wanted, and remembers what it said."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._asked = False

    def show(self, app: App[Any], captions: Sequence[str], rows: Sequence[Sequence[Picture | None]]) -> str | None:
        """Show rows of pictures below their captions until a key is pressed; or why not, in a line. The event loop waits."""
        if (self._asked and self._kind is None) or pixel_terminal.unlikely():
            return _NEITHER
        try:
            # Only then is nobody else reading what the terminal answers.
            with app.suspend():
                if not self._asked:
                    self._kind, self._asked = pixel_terminal.protocol(PATIENCE), True
                if self._kind is not None:
                    pictures = pixel_terminal.in_pixels(rows, self._kind)
                    present(captions, pictures, _FORGET[self._kind], sys.stdin.fileno(), sys.stdout.fileno())
                forget_typed(sys.stdin.fileno())
        except SuspendNotSupported:
            return "the screens cannot step aside here, so half blocks stay"
        return _NEITHER if self._kind is None else None


def present(captions: Sequence[str], pictures: str, forget: str, source: int, target: int) -> None:
    """Captions and pictures on a screen of their own until a key comes from `source`, a terminal; it is set as before then."""
    import termios
    import tty

    text = "\n".join([*captions, "", pictures, "", "any key goes back"])
    try:
        before = termios.tcgetattr(source)
    except termios.error:
        return
    try:
        tty.setcbreak(source, termios.TCSANOW)
        _write(target, f"{_OWN_SCREEN}{text}")
        # Ctrl-C is a key like any other here: the screens are still to come back.
        with contextlib.suppress(KeyboardInterrupt):
            os.read(source, 1)
    except OSError:
        pass  # the line was dropped; the screens will notice
    finally:
        with contextlib.suppress(OSError):
            _write(target, f"{forget}{_LEFT}")
        with contextlib.suppress(termios.error):
            termios.tcsetattr(source, termios.TCSANOW, before)


def forget_typed(source: int) -> None:
    """What is left of a key that is several characters, and of an answer that came late."""
    import termios

    with contextlib.suppress(termios.error):
        termios.tcflush(source, termios.TCIFLUSH)


def _write(target: int, text: str) -> None:
    """All of it: a terminal takes pictures in pieces."""
    left = text.encode()
    while left:
        left = left[os.write(target, left) :]
