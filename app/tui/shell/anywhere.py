"""What `:` offers, gathered from all screens and the database, and the way to what was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from textual.app import App

from app.tui.shell.anything import Act, Anything, Run, Study, Target, actions, beginning, studies
from app.tui.shell.commands import Command, Typed
from app.tui.shell.keys import APP, EVERYWHERE
from app.tui.shell.page import Page
from app.tui.shell.running import run_typed
from app.tui.widgets.dialogs import Item

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session
    from storage.rows import ListedTrial

T = TypeVar("T")

_ROUNDS, _ROUND = 100, 0.02
"""How often, and after how many seconds each, a screen is looked at that is to be filled before something is done on it."""


class Anywhere:
    """`pages`: mode → the screen's class, the first of them shows studies; `open_run` opens a run's detail; `more` is offered
    besides."""

    def __init__(
        self,
        app: App[None],
        session: Session,
        pages: Mapping[str, Callable[[], type[Page]]],
        commands: Sequence[Command],
        open_run: Callable[[str, str], object],
        more: Sequence[Item],
    ) -> None:
        self._app, self._session, self._pages, self._commands = app, session, pages, commands
        self._open_run, self._more = open_run, more

    def ask(self, page: Page) -> None:
        """Let one choose, from `page` on."""
        chooser = Anything(self._places(page), self._commands, self._runs)
        self._app.push_screen(chooser, self._go)
        page.run_worker(self._add_studies(chooser), exit_on_error=False)

    def _places(self, page: Page) -> list[Item]:
        """What needs no database: the actions of the screen in front, of all screens, of the others."""
        keys = self._session.own
        found = [*actions(None, page.MODE, page.keys), *actions(None, "", keys.of(EVERYWHERE, APP)), *self._more]
        for mode, other in self._pages.items():
            if mode != page.MODE:
                found += actions(mode, mode, keys.of(other().KEYS, mode))
        return found

    async def _add_studies(self, chooser: Anything) -> None:
        from storage.studies import studies as listed

        chooser.add(studies(await self._read(listed)))

    async def _runs(self, prefix: str) -> Sequence[ListedTrial]:
        return await self._read(lambda db: beginning(db, prefix))

    async def _read(self, question: Callable[[Database], Sequence[T]]) -> Sequence[T]:
        """What the database answers; nothing where it cannot."""
        try:
            return await self._session.reader.ask(question)
        except Exception as error:
            self._session.note_fault(error)
            return ()

    def _go(self, target: Target | None) -> None:
        """To what was chosen."""
        match target:
            case Act(mode, action):
                self._app.run_worker(self._act(mode, action), exit_on_error=False)
            case Study(name):
                self._app.run_worker(self._look_at(name), exit_on_error=False)
            case Run(study, trial_id):
                self._open_run(study, trial_id)
            case Typed():
                assert isinstance(self._app.screen, Page)
                run_typed(self._app.screen, target)

    async def _act(self, mode: str | None, action: str) -> None:
        page = self._app.screen if mode is None else await self._arrive(mode)
        there = hasattr(page, f"action_{action.partition('(')[0]}")
        await self._app.run_action(action, page if there else self._app)

    async def _look_at(self, study: str) -> None:
        (await self._arrive(next(iter(self._pages)))).look_at(study)

    async def _arrive(self, mode: str) -> Page:
        """The screen of `mode`, in front, and filled unless that takes too long."""
        await self._app.run_action(f"mode('{mode}')", self._app)
        page = self._app.screen
        for _ in range(_ROUNDS):
            await asyncio.sleep(_ROUND)
            page = self._app.screen
            if isinstance(page, Page) and mode == page.MODE and page.is_mounted and not page.loading_data:
                break
        assert isinstance(page, Page)
        return page
