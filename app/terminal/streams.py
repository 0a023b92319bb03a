"""stdout and stderr as every command finds them.

`begin` puts a stream of its own in the place of each. What is written to it, by whatever library, passes `visible`; what the
locale cannot show is replaced; narration that cannot be written (a full disk, a pipe that nobody reads) is lost without a word,
since the work matters more, while data that cannot be written ends the command with one line.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from typing import BinaryIO, TextIO, cast

from app.terminal.characters import LOOKALIKES, visible
from core.errors import BadInput
from core.launch import hold_standard_streams

PRINTING_TERMINALS = ("dumb", "unknown")
"""Terminals that can only print, by TERM."""


class ReaderGone(Exception):
    """Whoever read stdout (head, less) has seen enough. No OSError, which libraries answer in their own ways."""


class Unwritable(BadInput):
    """stdout takes no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror}")


class _Descriptor(io.RawIOBase):
    """One of the process's own descriptors; never closed. After a write that failed it takes everything and drops it, so that
    Python has nothing to complain of when it flushes at its end."""

    def __init__(self, number: int, *, needed: bool) -> None:
        self._number = number
        self._needed = needed
        self._lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        while not self._lost:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # another program has set the terminal so
                select.select([], [self._number], [])
            except OSError as error:
                self._lost = True
                if self._needed:
                    raise (ReaderGone() if isinstance(error, BrokenPipeError) else Unwritable(error)) from None
        return len(data)


class Stream(io.TextIOWrapper):
    """Text to one of the process's own descriptors, through `visible`. `undisturbed` leads there without that, for what draws
    with a terminal's commands."""

    def __init__(self, number: int, encoding: str, *, needed: bool) -> None:
        # libraries write UTF-8 of their own where they see ASCII; this passes for Latin-1 and writes the half that both have
        self._ascii = codecs.lookup(encoding).name == "ascii"
        at_once = not needed or os.isatty(number)
        known = "latin-1" if self._ascii else encoding
        one, other = (cast(BinaryIO, io.BufferedWriter(_Descriptor(number, needed=needed))) for _ in range(2))
        super().__init__(one, encoding=known, errors=LOOKALIKES, line_buffering=at_once)
        self.undisturbed: TextIO = io.TextIOWrapper(other, encoding=known, errors=LOOKALIKES, line_buffering=at_once)

    def write(self, text: str, /) -> int:
        shown = visible(text)
        super().write(shown.encode("ascii", LOOKALIKES).decode("ascii") if self._ascii else shown)
        return len(text)


def begin() -> None:
    """Take stdout and stderr over, unless somebody has put other streams in their place, as tests do."""
    hold_standard_streams()
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, Stream(number, stream.encoding, needed=number == 1))
            setattr(sys, f"__{name}__", undisturbed(getattr(sys, name)))


def undisturbed(stream: TextIO) -> TextIO:
    """Where a display that moves the cursor or draws pictures is written; it takes nothing there that it has not made itself."""
    return stream.undisturbed if isinstance(stream, Stream) else stream
