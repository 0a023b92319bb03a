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
    ours = [number for number in wanted if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, wanted[number]) for number in ours}
    hook = sys.unraisablehook

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        # A Ctrl-C that is noticed where nothing can be raised, as in a destructor, would be lost.
        if found.exc_type is KeyboardInterrupt:
            os._exit(int(ExitCode.INTERRUPTED))
        hook(found)

    sys.unraisablehook = unraisable
    try:
        yield lambda: came
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
        sys.unraisablehook = hook
