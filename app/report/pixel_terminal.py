"""Whether the terminal shows real pixels, by its own answer, and pictures in the codes that it knows."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from collections.abc import Sequence

from app.report.pixels import Picture, kitty, mosaic, sixel

_ACROSS = 640
"""Pixels that a line of pictures is made wide, about."""
_SECONDS = 0.5
"""Within which every terminal that answers has answered, over a slow line too."""
_ASK_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_ASK_WHO = "\x1b[c"
"""Primary device attributes, which every terminal answers: it comes after the answer to the first question, or instead of it."""
_WHO = re.compile(r"\x1b\[\?([\d;]*)c")


def in_pixels(rows: Sequence[Sequence[Picture | None]], kind: str) -> str:
    """Rows of pictures in the codes of a protocol, "kitty" or "sixel"."""
    across = sum(picture.shape[1] if picture is not None else 0 for picture in rows[0])
    return {"kitty": kitty, "sixel": sixel}[kind](mosaic(rows, max(1, _ACROSS // across)))


def unlikely() -> bool:
    """Whether nobody need be asked: no terminal, or a multiplexer that would swallow pixels."""
    if os.environ.get("TMUX") or os.environ.get("STY") or os.environ.get("TERM", "dumb") in ("dumb", "linux"):
        return True
    return not (sys.stdin.isatty() and sys.stdout.isatty())


def protocol(seconds: float = _SECONDS) -> str | None:
    """ "kitty" or "sixel"; None where neither is sure, or nothing is answered within so many seconds."""
    return None if unlikely() else understood(_answer(sys.stdin.fileno(), sys.stdout.fileno(), seconds))


def understood(answer: str) -> str | None:
    """What an answer says."""
    if "\x1b_Gi=31;OK\x1b\\" in answer:
        return "kitty"
    found = _WHO.search(answer)
    return "sixel" if found and "4" in found.group(1).split(";") else None


def _answer(source: int, target: int, seconds: float) -> str:
    """What the terminal says to both questions; the settings of the terminal are as before, and nothing is left to read."""
    import termios
    import tty

    try:
        before = termios.tcgetattr(source)
    except termios.error:
        return ""
    answer, deadline = "", time.monotonic() + seconds
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(target, (_ASK_KITTY + _ASK_WHO).encode("ascii"))
        while not _WHO.search(answer):
            ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            answer += os.read(source, 1024).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(source, termios.TCSANOW, before)
    return answer
