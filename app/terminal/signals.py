"""Ctrl-C and SIGTERM while a command runs that has no answer of its own to them: what is half done is undone, then it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from core.errors import ExitCode

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def raised() -> Iterator[Callable[[], bool]]:
    """Ctrl-C as KeyboardInterrupt and SIGTERM as SystemExit, unless they are ignored; then as before. Yields whether there was a
    Ctrl-C, which does not always come out as one."""
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    def terminate(*_: object) -> None:
        sys.exit(_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: came
        return
    wanted: dict[int, Callable[[int, FrameType | None], object]] = {signal.SIGINT: interrupt, signal.SIGTERM: terminate}
    before = {number: signal.getsignal(number) for number in wanted}
    hook = sys.unraisablehook

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if (
            found.exc_type is KeyboardInterrupt
        ):  # noticed where nothing can be raised, as in a destructor: it would be lost
            os._exit(int(ExitCode.INTERRUPTED))
        hook(found)

    for number, handler in wanted.items():
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    sys.unraisablehook = unraisable
    try:
        yield lambda: came
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
        sys.unraisablehook = hook
