"""`:` finds anything by its name: screens, studies, runs by the beginning of their ids, actions of every screen, commands."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.widgets import Input

from app.tui.shell.commands import Command, Typed, typed
from app.tui.shell.keys import Key
from app.tui.widgets.dialogs import Item, Picker, ranked

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ListedStudy, ListedTrial

MOST_RUNS = 12
"""Runs listed whose ids begin with what was typed."""
_BEGINS = re.compile(r"[0-9a-f]{2,64}")
_DOES = {"answers": "⏎ shows its answer", "changes": "⏎ asks, then does it", "works": "⏎ copies it, for a shell"}


@dataclass(frozen=True)
class Study:
    """A study to look at."""

    name: str


@dataclass(frozen=True)
class Run:
    """A run to open."""

    study: str
    trial_id: str


@dataclass(frozen=True)
class Act:
    """An action of a screen, or of all (`mode` is None)."""

    mode: str | None
    action: str


Target = Study | Run | Act | Typed
"""What can be chosen."""
Find = Callable[[str], Awaitable[Sequence["ListedTrial"]]]
"""The runs whose ids begin so."""


def actions(mode: str | None, title: str, keys: Sequence[Key]) -> list[Item]:
    """The actions of a screen called `title`."""
    return [Item(Act(mode, key.action), key.label, f"{title} {key.shown}  {key.help}") for key in keys]


def studies(rows: Sequence[ListedStudy]) -> list[Item]:
    return [
        Item(Study(row.study), row.study, f"study  {row.dataset}, {row.done:,} of {row.trials:,} runs done")
        for row in rows
    ]


def runs(rows: Sequence[ListedTrial]) -> list[Item]:
    """Runs by id, with what they are."""
    from app.report.labels import Made, trial_label

    found = []
    for row in rows:
        what = trial_label(Made.of_row(row), {"seeds": 2})  # with its seed
        found.append(Item(Run(row.study, row.trial_id), row.trial_id[:10], f"run  {what}, {row.state}, in {row.study}"))
    return found


def beginning(db: Database, prefix: str) -> Sequence[ListedTrial]:
    """The runs whose ids begin so, at most MOST_RUNS."""
    from storage import listing

    return listing.beginning(db, prefix, MOST_RUNS)


class Anything(Picker):
    """Answers with a Target. `places` are offered from the start, studies and runs as they are found."""

    DEFAULT_CSS = "Anything Vertical { width: 120; }"

    def __init__(self, places: Sequence[Item], commands: Sequence[Command], find: Find) -> None:
        offered = [Item(Typed(command.name), f"innate {command.name}", command.summary) for command in commands]
        super().__init__(
            "Anything", [*places, *offered], hint="a name, the beginning of an id, or a command (tab writes it)"
        )
        self._places = list(self._items)
        self._commands, self._find = commands, find
        self._found: list[Item] = []
        self._for = ""

    def add(self, items: Sequence[Item]) -> None:
        """More to choose from: they come before actions and commands that are named alike."""
        self._places = [*items, *self._places]
        self._again()

    def on_input_changed(self, event: Input.Changed) -> None:
        # Textual calls the picker's own besides, which narrows the list.
        prefix = event.value.strip().lower()
        if _BEGINS.fullmatch(prefix):
            self.run_worker(self._look(prefix), exclusive=True, exit_on_error=False)

    async def _look(self, prefix: str) -> None:
        rows = await self._find(prefix)
        self._found, self._for = runs(rows), prefix
        self._again()

    def _again(self) -> None:
        if self.is_mounted:
            self._narrow(self.query_one(Input).value)

    def found(self, text: str) -> list[int]:
        """The command that was typed whole; what is named so; runs; what is described so."""
        command = typed(text, self._commands)
        whole = command if command is not None and (command.arguments or text.startswith("innate ")) else None
        here = self._found if self._for and text.strip().lower().startswith(self._for) else []
        here = [item for item in here if item.value.trial_id.startswith(text.strip().lower())]
        first = (
            [] if whole is None else [Item(whole, whole.line, ": ".join(filter(None, (_DOES[whole.does], whole.why))))]
        )
        places, words = [self._places[place] for place in ranked(self._places, text)], text.lower().split()
        named = sum(all(word in place.label.lower() for word in words) for place in places)  # they come first
        self._items = [*first, *places[:named], *here, *places[named:]]
        return list(range(len(self._items)))

    def action_tick(self) -> None:
        """Tab: write the name of a command, to go on with its arguments."""
        item = self.chosen
        if item is not None and isinstance(item.value, Typed):
            field = self.query_one(Input)
            field.value = f"{' '.join(item.value.words)} "
            field.cursor_position = len(field.value)

    def _accept(self) -> None:
        item = self.chosen
        if item is None:
            return
        needs = (
            isinstance(item.value, Typed)
            and not item.value.arguments
            and any(command.needs for command in self._commands if command.name == item.value.name)
        )
        if needs:
            self.action_tick()
        else:
            self.dismiss(item.value)
