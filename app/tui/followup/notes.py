"""Noting something on a study or a variant: a text and tags, in one small dialog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from app.report.noted import note_command, note_text
from app.tui.shell.page import Page
from app.tui.widgets.field import Field
from core.errors import BadInput
from core.names import FACTORS, full_name, short_id
from storage.changes import Note
from storage.notes import NoteRow, note_on, tag_of, text_of

if TYPE_CHECKING:
    from sqlite_utils import Database

Written = tuple[str, tuple[str, ...]]
"""Text and tags."""


@dataclass(frozen=True)
class _Subject:
    """What is noted now, on what, and what the command line calls that."""

    note: NoteRow
    name: str
    called: str


class NoteDialog(ModalScreen[Written | None]):
    """Two lines to type into: the note, and its tags."""

    DEFAULT_CSS = """
    NoteDialog { align: center middle; background: $background 60%; }
    NoteDialog Vertical { width: 76; max-width: 96%; height: auto; border: round $primary; background: $surface; padding: 0 1; }
    NoteDialog Input, NoteDialog Input:focus { border: none; height: 1; background: $panel; padding: 0 1; }
    NoteDialog .label { height: 1; color: $foreground 70%; }
    NoteDialog .problem { color: $error; height: auto; min-height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "cancel"),
        Binding("tab,down", "app.focus_next", "next", priority=True),
        Binding("shift+tab,up", "app.focus_previous", "before", priority=True),
    ]

    def __init__(self, name: str, note: NoteRow) -> None:
        super().__init__()
        self._name, self._note = name, note

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = f"Note on {self._name}"
            box.border_subtitle = "tab the other line   ⏎ keep   esc leave it"
            yield Static("note", classes="label")
            yield Field(self._note.text, id="text", select_on_focus=False)
            yield Static(
                "tags: words with blanks between, such as keep ask-ann; tag=keep filters by them", classes="label"
            )
            yield Field(" ".join(self._note.tags), id="tags", select_on_focus=False)
            yield Static("", classes="problem")

    def on_input_changed(self) -> None:
        self.query_one(".problem", Static).update(Content(self._problem() or ""))

    def on_input_submitted(self) -> None:
        if self._problem() is None:
            self.dismiss(self._written())

    def _written(self) -> Written:
        """Raises BadInput for a tag that is no word or a text that is too long."""
        tags = self.query_one("#tags", Input).value.replace(",", " ").split()
        return text_of(self.query_one("#text", Input).value), tuple(dict.fromkeys(map(tag_of, tags)))

    def _problem(self) -> str | None:
        try:
            self._written()
        except BadInput as error:
            return str(error)
        return None


def ask_note(page: Page, study: str, variant_id: str | None) -> None:
    """Ask on `page` what to note on a study (`variant_id` None) or on a variant of it, and have that kept."""
    if page.may_change():
        page.ask(lambda db: _subject(db, study, variant_id), lambda subject: _edit(page, subject))


def _subject(db: Database, study: str, variant_id: str | None) -> _Subject:
    from app.report.variants import level
    from storage.listing import one_of_variant

    note = note_on(db, study, variant_id)
    if variant_id is None:
        return _Subject(note, study, study)
    row = one_of_variant(db, study, variant_id)
    name = full_name(level(row, factor) for factor in FACTORS)
    return _Subject(note, f"{name} in {study}", short_id(row.trial_id))


def _edit(page: Page, subject: _Subject) -> None:
    before = subject.note

    def written(answer: Written | None) -> None:
        if answer is None:
            return
        text, tags = answer
        if (text, tags) == (before.text, before.tags):
            page.say("the note is as it was")
            return
        new = None if text == before.text else text
        add, drop = (
            tuple(tag for tag in one if tag not in other) for one, other in ((tags, before.tags), (before.tags, tags))
        )
        change = Note(before.study, before.variant_id, new, add, drop)
        study = None if before.variant_id is None else before.study
        page.steer(change, _told, note_command(subject.called, new, add, drop, study))

    page.push(NoteDialog(subject.name, before), written)


def _told(note: NoteRow) -> str:
    return f"noted: {note_text(note.text, note.tags)}" if note.text or note.tags else "the note is gone"
