"""What the Lab's two tables, groups and the list of runs, are to the screen: rows to move through, open, mark and act on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from textual.message import Message

from app.tui.widgets.grid import Grid

Mark = tuple[str, str]
"""(study, trial id)."""


class RunChosen(Message):
    """A run was opened."""

    def __init__(self, study: str, trial_id: str) -> None:
        super().__init__()
        self.study, self.trial_id = study, trial_id


class Rows(Protocol):
    """`GroupedRows` or `RunList`. What must be looked up first is handed on once it is here."""

    @property
    def grid(self) -> Grid[Any]: ...

    @property
    def study(self) -> str | None:
        """That of the row under the cursor."""

    @property
    def trial_id(self) -> str | None:
        """The run under the cursor, None where there is another row."""

    @property
    def variant_id(self) -> str | None:
        """The variant of the row under the cursor, None where that has more than one."""

    @property
    def trials(self) -> tuple[str, ...]:
        """Of the row under the cursor, as far as they are known."""

    @property
    def subject(self) -> str | None:
        """The one run that stands for the row under the cursor: one that failed before all others; None until it is known."""

    def with_trials(self, then: Callable[[list[str]], None]) -> None:
        """Hand on the trials of the row under the cursor."""

    def with_subject(self, then: Callable[[str], None]) -> None:
        """Hand on the run that stands for it."""

    def mark(self, then: Callable[[set[Mark], bool], None]) -> None:
        """Hand on the runs of the row under the cursor, and whether they are to be marked or no longer; go to the next row."""

    def unfold(self) -> None: ...

    def fold(self) -> None: ...

    def pin(self) -> None:
        """Hold the others against the row under the cursor, or no longer."""
