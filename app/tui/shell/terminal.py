"""The terminal under the screens: drawn on stdout, left as it was by Ctrl-Z and taken again whole, late answers kept from the
keys."""

from __future__ import annotations

import os
import select
import signal
import sys
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App

    from app.tui.shell.ground import Asked

_ROUND = 0.05
"""Seconds without a byte after which what looks like the beginning of an answer was typed."""


class GroundKnown(events.Event):
    """The terminal has said late whether its ground is dark."""


class Terminal(LinuxDriver):
    """Of an app that may have `asked` the terminal for its ground before."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        # Textual's is stderr, and `innate 2>log` would draw into the log.
        self._file = sys.__stdout__
        self._asked: Asked | None = getattr(app, "asked", None)
        self._wanted = self._held = False
        """Whether the terminal is to be the screens', and whether it is."""
        signal.signal(signal.SIGTSTP, self._stop)
        signal.signal(signal.SIGCONT, self._continue)

    def start_application_mode(self) -> None:
        self._wanted = True
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # In the background it is not given: Textual waits for the next SIGCONT then.
        self._held = self._writer_thread is not None and self._writer_thread.is_alive()
        if self._asked is not None and self._asked.ground.before is not None:
            self.attrs_before = list(self._asked.ground.before)  # not as it was set for the question

    def stop_application_mode(self) -> None:
        self._wanted = self._held = False
        super().stop_application_mode()

    def suspend_application_mode(self) -> None:
        if self._held:
            super().suspend_application_mode()
            self._wanted = True

    # --- stopped and continued ---

    def _stop(self, *_: object) -> None:
        """Ctrl-Z, or a stop from outside: the terminal as it was, then stop as a program does that knows nothing of it.

        The group is stopped, since a program that has started this one is to stop too. Where nobody could continue it (no shell
        above), the system ignores the stop and it goes on at once.
        """
        self.suspend_application_mode()
        stop, go_on = signal.signal(signal.SIGTSTP, signal.SIG_DFL), signal.signal(signal.SIGCONT, signal.SIG_DFL)
        os.killpg(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, stop)
        signal.signal(signal.SIGCONT, go_on)
        self._take()

    def _continue(self, *_: object) -> None:
        """Continued after a stop that could not be heard (SIGSTOP): the shell has used the terminal meanwhile."""
        self.suspend_application_mode()
        self._take()

    def _take(self) -> None:
        """The terminal for the screens again, unless they have been left, and all drawn anew."""
        if self._wanted:
            self._must_signal_resume = True
            self.resume_application_mode()

    # --- input ---

    def run_input_thread(self) -> None:
        if self._asked is not None and (self._asked.typed or self._asked.ground.owed):
            self._until_answered(self._asked)
        super().run_input_thread()

    def _until_answered(self, asked: Asked) -> None:
        """Keys as they come, beginning with those typed before, until the terminal has answered or nothing is owed any more."""
        ground, before = asked.ground, asked.ground.dark
        parser, decode = XTermParser(self._debug), getincrementaldecoder("utf-8")("replace").decode
        typed, asked.typed = asked.typed, b""

        def feed(content: bytes) -> None:
            text = decode(content)  # empty in the middle of a character, which the parser would take for the end
            for event in (*(parser.feed(text) if text else ()), *parser.tick()):
                self.process_message(event)

        feed(typed)
        while ground.owed and not self.exit_event.is_set():
            ready = select.select([self.fileno], [], [], _ROUND)[0]
            content = ground.take(os.read(self.fileno, 4096)) if ready else ground.rest()
            feed(content)
        feed(ground.rest())
        if ground.dark != before:
            self.send_message(GroundKnown())
