"""What is composed, without any widget: the document and its history, the cursor in it, its mistakes, its origin."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.report.toml import toml_text
from app.tui.compose import draft
from app.tui.compose import settings as compose_settings
from app.tui.compose.draft import BY_NAME, PARTS, Document, Key, Offer
from app.tui.compose.mistakes import Mistake, mistakes
from app.tui.compose.outlook import Outlook
from app.tui.compose.settings import Setting

_UNDOABLE = 200
"""Changes that can be taken back."""


@dataclass(frozen=True)
class Origin:
    """The preset or the study file, as `innate run` takes it, that held exactly `document`."""

    spec: str
    document: Document


def fed(command: str, document: str) -> str:
    """`command` with `document`, whose last line is ended, on its stdin, for a shell."""
    end = "END"
    while end in document.splitlines():
        end += "_"
    return f"{command} <<'{end}'\n{document}{end}"


class Composition:
    """A study being composed. The cursor stands on a part and, in the list that belongs to it, on a choice or a setting.

    Methods that may change the document say whether they did. Relative paths in it are relative to `base`.
    """

    def __init__(self, document: Document, base: Path) -> None:
        self.base = base
        self._document = document
        self._before: list[Document] = []
        self._origin: Origin | None = None
        self.foretold: tuple[Document, Outlook] | None = None
        """The last outlook, and the document that it is of."""
        self.part = PARTS[0]
        self.open: int | None = None
        """The position of the choice whose options are listed, None while the choices themselves are."""
        self.words = ""
        """What is searched for within the axis."""
        self.settings: list[Setting] = []
        self.offers: list[Offer] = []
        """The list of the part: its settings, or else its choices; one of the two is empty."""
        self._place = 0
        self._places: dict[tuple[str, int | None], Key | None] = {}
        """Where the cursor stood in each list, by part and open choice."""
        self._take(document)

    # --- the document ---

    @property
    def document(self) -> Document:
        return self._document

    def change(self, document: Document, key: Key | None = None) -> bool:
        """Go on with `document`, the cursor on `key`, or where it is if there is no such choice or setting."""
        key, changed = self.key if key is None else key, document != self._document
        if changed:
            self._before = [*self._before, self._document][-_UNDOABLE:]
            self._take(document)
        self.point(key)
        return changed

    def undo(self) -> bool:
        """Take the last change back."""
        if not self._before:
            return False
        key, before = self.key, self._before.pop()
        if self.open is not None and (
            self._count(before) != self._count(self._document)
            or not compose_settings.settings(before, self.part.name, self.open)
        ):
            self._leave()
            self.open = None  # what was open is gone, or stands elsewhere
            self._take(before)
            self._enter()
        else:
            self._take(before)
            self.point(key)
        return True

    def begin_with(self, document: Document, spec: str | None) -> bool:
        """Go on with another study; `spec` is the preset or the file that holds it, if one does."""
        self.open, self.words, self._places = None, "", {}
        self._origin = None if spec is None else Origin(spec, document)
        changed = self.change(document)
        self._enter()
        return changed

    def choose(self, name: str, path: Path | None = None) -> bool:
        """Choose `name` on the axis, beside what is chosen or instead of it; `path` is where a data set of one's own is."""
        changed = draft.add(self._document, self.part.name, name if path is None else f"{name}:{path}")
        return self.change(changed, Offer(name, self._count(changed) - 1))

    def copy(self) -> bool:
        """Choose once more what is under the cursor, and list the options of the copy, if it has any."""
        if self.offer is None or self.offer.place is None:
            return False
        name, index = self.offer.name, self.offer.place
        changed = self.change(draft.copy_of(self._document, self.part.name, index), Offer(name, index + 1))
        if changed and self.has_options(index + 1):
            self.show_options(index + 1)
        return changed

    def drop(self) -> bool:
        """Without the choice under the cursor, or with its setting at the default."""
        if self.setting is not None:
            return self.put(self.setting, None)
        if self.offer is None or self.offer.place is None:
            return False
        name, index = self.offer.name, self.offer.place
        changed = draft.without(self._document, self.part.name, index)
        again = (offer for offer in draft.choice_rows(changed, self.part) if offer.name == name)
        return self.change(changed, next(again, None))

    def put(self, setting: Setting, value: Any) -> bool:
        """Give `setting` a value; None takes its key away."""
        return self.change(draft.put(self._document, setting.path, value))

    def _count(self, document: Document) -> int:
        """How many choices are made on the axis."""
        return len(draft.items(document, self.part.name))

    def _take(self, document: Document) -> None:
        self._document = document
        self.own_mistakes: Mapping[str, Mistake] = mistakes(document, self.base)
        self._list()

    # --- the cursor ---

    @property
    def key(self) -> Key | None:
        """The choice, or the path of the setting, under the cursor; None in an empty list."""
        keys = self._keys
        return keys[self._place] if keys else None

    @property
    def setting(self) -> Setting | None:
        """The setting under the cursor, None where choices are listed."""
        return self.settings[self._place] if self.settings else None

    @property
    def offer(self) -> Offer | None:
        """The choice under the cursor, made or not; None where settings are listed."""
        return self.offers[self._place] if self.offers else None

    @property
    def chosen(self) -> int | None:
        """The place on the axis of the choice under the cursor, None where it is not made or settings are listed."""
        return None if self.offer is None else self.offer.place

    def has_options(self, index: int) -> bool:
        """Whether what stands at `index` on the axis has any."""
        return bool(compose_settings.settings(self._document, self.part.name, index))

    def point(self, key: Hashable) -> None:
        """The cursor to a choice or a setting of the list; it stays about where it is if that is not there."""
        keys = self._keys
        here = next((place for place, other in enumerate(keys) if other == key), self._place)
        self._place = max(0, min(here, len(keys) - 1))

    def go_to(self, part: str) -> None:
        """The cursor to another part, and to where it stood there last; the search ends."""
        self._leave()
        self.part, self.open, self.words = BY_NAME[part], None, ""
        self._enter()

    def show_options(self, index: int | None) -> None:
        """List the options of what stands at `index` on the axis, with None its choices again."""
        self._leave()
        self.open = index
        self._enter()

    def search(self, words: str) -> None:
        """List the choices that have `words`; the cursor goes to the best match."""
        self.words = words
        self._list()
        self._place = 0

    def end_search(self) -> None:
        """List every choice again, the cursor staying on its own."""
        key, self.words = self.key, ""
        self._list()
        self.point(key)

    @property
    def _keys(self) -> Sequence[Key]:
        return [setting.path for setting in self.settings] or self.offers

    def _leave(self) -> None:
        self._places[self.part.name, self.open] = self.key

    def _enter(self) -> None:
        """The cursor to where it stood in this list last, at first to what is chosen."""
        self._list()
        self._place = 0
        chosen = next((offer for offer in self.offers if offer.place is not None), None)
        place = self._places.get((self.part.name, self.open))
        self.point(chosen if place is None else place)

    def _list(self) -> None:
        self.settings = compose_settings.settings(self._document, self.part.name, self.open)
        listed = not self.settings and self.part.registry is not None
        self.offers = draft.choice_rows(self._document, self.part, self.words.lower().split()) if listed else []
        self.point(None)

    # --- what is wrong, and what it would bring ---

    @property
    def outlook(self) -> Outlook | None:
        """The outlook, if it is of the document as it stands."""
        return None if self.foretold is None or self.foretold[0] != self._document else self.foretold[1]

    @property
    def mistakes(self) -> Mapping[str, Mistake]:
        """All mistakes by part: the document's own, else what its data set has to say."""
        outlook = self.outlook
        return self.own_mistakes if self.own_mistakes or outlook is None else outlook.mistakes

    @property
    def mistake(self) -> Mistake | None:
        """What is wrong with the part under the cursor."""
        return self.mistakes.get(self.part.name)

    # --- where it came from ---

    def saved_as(self, path: str, document: Document) -> None:
        """`document`, as it was then, was written to the study file `path`."""
        self._origin = Origin(path, document)

    @property
    def file(self) -> str:
        """The study file's name: where it was saved or read last, else after the study."""
        if self._origin is not None and self._origin.spec.endswith(".toml"):
            return self._origin.spec
        return f"{self._document.get('name') or 'study'}.toml"

    @property
    def spec(self) -> str | None:
        """The preset or the file that holds the document as it stands, in the shell's quotes; None if none does."""
        if self._origin is not None and self._origin.document == self._document:
            return shlex.quote(self._origin.spec)
        return None

    def command(self, verb: str, options: str = "") -> str:
        """`innate VERB` for the document as it stands: it is given on stdin where no preset and no file holds it."""
        if self.spec is not None:
            return f"innate {verb} {self.spec}{options}"
        return fed(f"innate {verb} -{options}", toml_text(self._document))
