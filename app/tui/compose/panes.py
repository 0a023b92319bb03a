"""The two panes of Compose, the study file beside them and the outlook below: what they show, and moving over them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from app.tui.compose import draft
from app.tui.compose import settings as compose_settings
from app.tui.compose.draft import BY_NAME, Document, Part
from app.tui.compose.list import RowList, fitted
from app.tui.compose.mistakes import Mistake, mistakes
from app.tui.compose.outlook import Outlook, Outlooks, counts, in_lines, remarks
from app.tui.compose.rows import (
    about_choice,
    about_setting,
    axis_rows,
    heading,
    label_of,
    part_rows,
    setting_rows,
    toml_content,
)
from app.tui.compose.settings import Setting
from app.tui.compose.toml import toml_text
from app.tui.shell.page import Page
from app.tui.widgets.field import Field

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_DELAY = 0.15
"""Seconds without a change after which the outlook is worked out anew."""
_UNDOABLE = 200
"""Changes that can be taken back."""


class ComposePanes(Page):
    """Holds the draft; every change goes through `_change`."""

    MODE = "compose"
    AUTO_FOCUS: ClassVar[str | None] = "#parts"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._document: Document = {}
        self._before: list[Document] = []
        self._part: Part = draft.PARTS[0]
        self._open: int | None = None
        """The choice whose options are shown."""
        self._words = ""
        self._places: dict[Hashable, Hashable] = {}
        """Where the cursor stood in each list."""
        self._mistakes: Mapping[str, Mistake] = {}
        self._outlook: tuple[Document, Outlook] | None = None
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="panes"):
            yield RowList(id="parts")
            with Vertical(id="right"):
                yield Static("", id="heading")
                yield Field(
                    id="search", placeholder="words of a name, what it does or its source", select_on_focus=False
                )
                yield RowList(id="choices")
                yield Static("", id="about")
            with VerticalScroll(id="file", can_focus=False):
                yield Static("", id="toml")
        yield Static("", id="outlook")

    @property
    def parts(self) -> RowList:
        return self.query_one("#parts", RowList)

    @property
    def choices(self) -> RowList:
        return self.query_one("#choices", RowList)

    def on_mount(self) -> None:
        self._outlooks = Outlooks(self.session.context.home)
        kept = self.session.remembered.draft
        self._document = kept if draft.shaped(kept) and kept else draft.first()
        self._examine()
        self.call_after_refresh(self._draw)

    # --- the outlook ---

    def question(self) -> Any:
        return None if self._mistakes else self._document

    def load(self, db: Database, question: Any) -> tuple[Document, Outlook] | None:
        return None if question is None else (question, self._outlooks.of(db, question, Path.cwd()))

    def show(self, data: tuple[Document, Outlook] | None) -> None:
        self._outlook = data
        self._draw()

    @property
    def _current(self) -> Outlook | None:
        """The outlook, if it is of the draft as it stands."""
        return self._outlook[1] if self._outlook is not None and self._outlook[0] == self._document else None

    @property
    def _wrong(self) -> Mapping[str, Mistake]:
        """All mistakes: the draft's own, else what its data set has to say."""
        outlook = self._current
        return self._mistakes if self._mistakes or outlook is None else outlook.mistakes

    # --- changes ---

    def _change(self, document: Document, key: Hashable | None = None) -> None:
        """Go on with `document`; the cursor on the right goes to `key`."""
        if document != self._document:
            self._before = [*self._before[-_UNDOABLE:], self._document]
            self._take(document)
            self.say("")  # what was said of the draft before may no longer be so
        self._draw(key)

    def _take(self, document: Document) -> None:
        self._document = document
        self.session.remembered.draft = document
        self.session.remember()
        self._examine()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_DELAY, self.reload)

    def _examine(self) -> None:
        self._mistakes = mistakes(self._document, Path.cwd())
        if self._open is not None and self._open >= len(draft.items(self._document, self._part.name)):
            self._open = None

    # --- drawing ---

    def _draw(self, key: Hashable | None = None) -> None:
        if not self.is_mounted:
            return
        wrong = self._wrong
        self.parts.show(part_rows(self._document, wrong, self.parts.size.width or 27), self._part.name)
        mistake = wrong.get(self._part.name)
        width = self.choices.size.width or 52
        if self._settings:
            rows = setting_rows(self._document, self._settings, mistake, width)
        elif self._part.registry is not None:
            rows = axis_rows(self._document, self._part, mistake, width, self._words.lower().split())
        else:
            rows = []
        self.choices.show(rows, key)
        self.query_one("#heading", Static).update(heading(self._document, self._part, self._open, self._words))
        self._about()
        self.query_one("#toml", Static).update(toml_content(toml_text(self._document)))
        self._foretell()

    @property
    def _settings(self) -> list[Setting]:
        """The values on the right; none where there are choices instead."""
        return compose_settings.settings(self._document, self._part.name, self._open)

    def _about(self) -> None:
        mistake, key = self._wrong.get(self._part.name), self.choices.key
        absent = self._current.absent if self._current is not None else None
        told = Content("")
        if self._settings:
            told = about_setting(self._document, self._setting, mistake)
        elif key is not None:
            told = about_choice(self._document, self._part, key, mistake, absent)  # type: ignore[arg-type]
        elif self._words:
            told = Content(f"No choice here has “{self._words}” in its name, summary or source; esc shows all.")
        self.query_one("#about", Static).update(told)

    @property
    def _setting(self) -> Setting:
        """The value under the cursor."""
        return next((value for value in self._settings if value.path == self.choices.key), self._settings[0])

    def _foretell(self) -> None:
        width = self.size.width - 2
        wrong = list(self._wrong.values())
        if wrong:
            others = ", ".join(BY_NAME[mistake.part].title for mistake in wrong[1:])
            text = Content.assemble(
                (fitted(f"✗ {wrong[0].text}", width).rstrip(), "$error"), f"\nalso wrong: {others}" if others else ""
            )
        elif self._outlook is None:
            text = Content.styled("counting …", "$foreground 65%")
        else:
            outlook = self._outlook[1]
            lines = in_lines([*counts(outlook), *remarks(outlook)], width)
            colour = "$foreground" if self._current is not None else "$foreground 65%"
            text = Content.assemble((lines[0], f"bold {colour}"), ("\n" + "\n".join(lines[1:]), colour))
        self.query_one("#outlook", Static).update(text)

    # --- moving ---

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        if event.rows is self.parts:
            self._leave_list()
            self._part, self._open = BY_NAME[str(self.parts.key)], None
            self._close_search()
            self._enter_list()
        else:
            self._about()

    def on_row_list_resized(self) -> None:
        self._draw()

    def _leave_list(self) -> None:
        self._places[self._part.name, self._open] = self.choices.key

    def _enter_list(self) -> None:
        """Show the list that is now on the right, the cursor where it stood there last, at first on what is chosen."""
        place = self._places.get((self._part.name, self._open))
        self.choices.cursor = 0
        self._draw(place)
        if place is None and self._open is None and self._part.registry is not None:
            chosen = next((key for key in self.choices.keys if isinstance(key, tuple) and key[1] is not None), None)
            self._draw(chosen)

    def _show_options(self, index: int | None) -> None:
        self._leave_list()
        self._open = index
        self._enter_list()
        self.choices.focus()

    def action_inner(self) -> None:
        if not self.choices.has_focus:
            self.choices.focus()
        elif self._open is None and self._chosen is not None:
            self._to_options(self._chosen[1])

    def action_outer(self) -> None:
        if self._open is not None:
            self._show_options(None)
        else:
            self.parts.focus()

    def key_escape(self) -> None:
        if self._words or self.query_one("#search", Input).has_class("open"):
            self._close_search()
            self._draw()
            self.choices.focus()
        else:
            self.action_outer()

    def _to_options(self, index: int) -> None:
        if compose_settings.settings(self._document, self._part.name, index):
            self._show_options(index)
        elif self._part.name != "dataset":
            self.say(f"{label_of(self._document, self._part, index)} has no options")

    @property
    def _chosen(self) -> tuple[str, int] | None:
        """Name and position of the choice under the cursor, None if it is not made or there are none here."""
        key = self.choices.key
        if self._settings or not isinstance(key, tuple) or key[1] is None:
            return None
        return key

    # --- search ---

    def action_search(self) -> None:
        if self._part.registry is None or self._open is not None:
            self.say("/ searches within an axis: go to one on the left, such as optimizers")
            return
        field = self.query_one("#search", Input)
        field.value = ""  # another search, not more words to the last one
        field.add_class("open")
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("open"):
            self._words = event.value.strip()
            self._draw()
            self.choices.move_to(0)  # the best match, not the row that the cursor stood on

    def on_input_submitted(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self.choices.focus()
        self._draw()

    def _close_search(self) -> None:
        self._words = ""
        self.query_one("#search", Input).remove_class("open")
