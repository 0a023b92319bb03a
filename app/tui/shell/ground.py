"""Whether the terminal's own background is light or dark: it is asked before the screens start (OSC 11), and answers while they
are imported. What it says too late is read by the driver and never taken for keys.

https://invisible-island.net/xterm/ctlseqs/ctlseqs.html, "Operating System Commands" and "Send Device Attributes".
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

PATIENCE = 0.1
"""Seconds that the screens wait for an answer once they could start."""
LATEST = 5.0
"""Seconds after which no answer is expected any more."""
_QUESTION = b"\x1b]11;?\x1b\\\x1b[c"
"""The background, then what kind of terminal it is, which every terminal answers, and none before the first."""
_COLOUR = re.compile(
    rb"\x1b\]11;(?:rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})(?:/[0-9a-fA-F]{1,4})?|[^\x07\x1b]*)"
    rb"(?:\x07|\x1b\\)"
)
_KIND = re.compile(rb"\x1b\[\?[0-9;]*c")
_BEGUN = re.compile(rb"\x1b(?:\](?:1(?:1(?:;[^\x07\x1b]*\x1b?)?)?)?|\[(?:\?[0-9;]*)?)?\Z")
"""The beginning of one of the two, at the end of what has come so far."""
_KEY = 2
"""Bytes of escape, and of a bracket with alt."""
_DARK_NUMBERS = ("0", "1", "2", "3", "4", "5", "6", "8")


class Ground:
    """What the terminal was asked, and what has come of it. `dark` is None as long as nothing is known."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.dark: bool | None = told_by(environment.get("COLORFGBG", ""))
        self.owed_until = 0.0
        """Until when (`time.monotonic`) an answer may still come."""
        self.before: list[Any] | None = None
        """How the terminal was set before, while it is set otherwise."""
        self._came = b""

    @property
    def owed(self) -> bool:
        """Whether the answer may still come."""
        return time.monotonic() < self.owed_until

    def take(self, came: bytes) -> bytes:
        """What has come from the terminal, without what is an answer, or the beginning of one that goes on in what comes next."""
        came, self._came = self._came + came, b""
        if not self.owed:
            return came
        colour = _COLOUR.search(came)
        if colour is not None:
            came = came[: colour.start()] + came[colour.end() :]
            if colour[1] is not None:
                self.dark = is_dark(*(int(part, 16) / (16 ** len(part) - 1) for part in colour.groups()))
        kind = _KIND.search(came)
        if kind is not None:
            came = came[: kind.start()] + came[kind.end() :]
            self.owed_until = 0.0
            return came
        begun = _BEGUN.search(came)
        if begun is not None:
            came, self._came = came[: begun.start()], came[begun.start() :]
        return came

    def rest(self) -> bytes:
        """The beginning of an answer that does not go on, where it is so short that a key was pressed (escape, or with alt)."""
        if len(self._came) > _KEY:
            return b""
        rest, self._came = self._came, b""
        return rest


class Asked:
    """`with Asked() as asked:` asks the terminal at once; `answer` waits for what it says. Whatever happens, the terminal is set
    at the end as it was before."""

    def __init__(self) -> None:
        self.ground = Ground()
        self.typed = b""
        """What was typed meanwhile; it is for the screens."""
        self._descriptor = sys.stdin.fileno()

    def __enter__(self) -> Self:
        try:
            self.ground.before = termios.tcgetattr(self._descriptor)
            quiet = termios.tcgetattr(self._descriptor)
            # What it answers is neither shown nor kept back until a line is whole; Ctrl-C still interrupts.
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._descriptor, termios.TCSANOW, quiet)
            os.write(sys.stdout.fileno(), _QUESTION)
            self.ground.owed_until = time.monotonic() + LATEST
        except (OSError, termios.error):
            self._restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def answer(self) -> None:
        """Wait at most `PATIENCE` for what is still owed. Once all has come the terminal is set as it was; else it stays quiet,
        for an answer that comes late would be seen."""
        deadline = time.monotonic() + PATIENCE
        while self.ground.owed and (left := deadline - time.monotonic()) > 0:
            if not select.select([self._descriptor], [], [], left)[0]:
                break
            try:
                came = os.read(self._descriptor, 4096)
            except OSError:
                break
            if not came:
                break
            self.typed += self.ground.take(came)
        if not self.ground.owed:
            self._restore()

    def _restore(self) -> None:
        if self.ground.before is not None:
            with contextlib.suppress(termios.error):  # the line was dropped
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self.ground.before)
            self.ground.before = None


def is_dark(red: float, green: float, blue: float) -> bool:
    """Whether a colour, each part in [0, 1], is nearer to black than to white for the eye (Rec. 601 luma)."""
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5


def told_by(colorfgbg: str) -> bool | None:
    """What COLORFGBG ("15;0": the numbers of the colours of text and ground, of 16) says of the ground, None where it says
    nothing; rxvt and Konsole set it."""
    number = colorfgbg.rpartition(";")[2]
    return number in _DARK_NUMBERS if number.isdecimal() and int(number) < 16 else None
