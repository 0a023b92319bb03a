"""Keys one after another: each is delivered only once the one before has done all it does.

Textual hands a key to whatever has the focus at that moment, though the key before it may be about to move the focus, or
to open another screen. Over a slow line, from a paste or a script, several keys come at once ("/adam", enter), and all
but the first would go to the wrong place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input

from app.tui.shell.page import Page

_ROUNDS = 3
"""How often a key's consequences are followed from the focus up to the app: the key, the message it becomes, the change
that message asks for."""
_PATIENCE = 3.0
"""Seconds after which the next key is delivered whatever the one before is still doing."""
_LOAD_PATIENCE = 2.0
"""Seconds that keys typed ahead wait for the data that the one before has asked for."""


class TypeAhead:
    """Delivers keys in turn through `deliver`, which hands one to Textual."""

    def __init__(self, app: App[None], deliver: Callable[[events.Key], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._waiting: deque[events.Key] = deque()
        self._task: asyncio.Task[None] | None = None

    def take(self, key: events.Key) -> None:
        """Deliver `key` after those that came before it."""
        self._waiting.append(key)
        if not self.busy:
            self._task = asyncio.create_task(self._run())

    @property
    def busy(self) -> bool:
        """Whether a key is being delivered, or still does what it does."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while self._waiting:
            key = self._waiting.popleft()
            try:
                await self._deliver(key)
                async with asyncio.timeout(_PATIENCE):
                    await self._settled()
            except TimeoutError:
                continue
            except Exception as error:
                self._app._handle_exception(error)

    async def _settled(self) -> None:
        for _ in range(_ROUNDS):
            if not self._app.is_running or not self._app.screen_stack:
                return
            here: MessagePump | None = self._app.focused or self._app.screen
            while here is not None:
                await _caught_up(here)
                here = here._parent
        screen = self._app.screen
        # What is typed into a line of text waits for no answer to its beginning.
        if self._waiting and isinstance(screen, Page) and not isinstance(self._app.focused, Input):
            deadline = asyncio.get_running_loop().time() + _LOAD_PATIENCE
            while screen.loading_data and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.01)


async def _caught_up(pump: MessagePump) -> None:
    """Until `pump` has handled every message that it has by now."""
    reached = asyncio.Event()

    async def reach() -> None:
        reached.set()

    if pump.is_running and pump.post_message(events.Callback(callback=reach)):
        await reached.wait()
