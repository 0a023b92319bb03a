"""Changing the draft in Compose: choosing, dropping, one more, typing a value, taking it back."""

from __future__ import annotations

from pathlib import Path

from app.tui.compose import draft
from app.tui.compose import settings as compose_settings
from app.tui.compose.list import RowList
from app.tui.compose.panes import ComposePanes
from app.tui.compose.settings import Setting
from app.tui.widgets.dialogs import Item, Picker, Prompt


class ComposeEdits(ComposePanes):
    """What the keys do to what is under the cursor."""

    def action_tick(self) -> None:
        if not self.choices.has_focus:
            self.choices.focus()
        elif self._settings:
            self._edit(self._setting)
        elif self._chosen is not None:
            self.action_remove()
        elif self.choices.key is not None:
            self._choose(self.choices.key[0])  # type: ignore[index]

    def _choose(self, name: str) -> None:
        part = self._part.name
        if part == "dataset" and name in ("folder", "npz"):
            self._ask_path(name)
            return
        changed = draft.add(self._document, part, name)
        self._change(changed, (name, len(draft.items(changed, part)) - 1))

    def action_another(self) -> None:
        key = self.choices.key
        if self._settings or not self._part.several or not isinstance(key, tuple):
            self.say("+ chooses an optimizer, an attack … once more, with other options: go to one on the left")
            return
        name, index = key
        if index is None:
            self._choose(name)
            return
        if not compose_settings.settings(self._document, self._part.name, index):
            self.say(f"{name} has no options, so once more would be the same")
            return
        self._change(draft.copy_of(self._document, self._part.name, index), (name, index + 1))
        self._show_options(index + 1)
        self.say("a copy: change an option, so that it is not the same; u takes it back")

    def action_remove(self) -> None:
        if self._settings:
            self._change(draft.put(self._document, self._setting.path, None))
        elif self._chosen is not None:
            name, index = self._chosen
            if self._part.name == "dataset":
                self.say("a study has one data set: space on another takes its place")
                return
            changed = draft.without(self._document, self._part.name, index)
            again = [place for other, place in draft.choice_rows(changed, self._part) if other == name]
            self._change(changed, (name, again[0]) if again else None)

    def on_row_list_clicked(self, event: RowList.Clicked) -> None:
        if event.rows is self.choices:
            if self._settings:
                if event.twice:
                    self.action_edit()
            elif event.x < 4:
                self.action_tick()
            elif event.twice:
                self.action_edit()

    # --- editing ---

    def action_edit(self) -> None:
        key = self.choices.key
        if self.parts.has_focus:
            self.choices.focus()
        elif self._settings:
            self._edit(self._setting)
        elif self._part.name == "dataset" and key is not None:
            self._choose(key[0])  # type: ignore[index]
        elif self._chosen is None and key is not None:
            self.action_tick()
            if self._chosen is not None and compose_settings.settings(self._document, self._part.name, self._chosen[1]):
                self._show_options(self._chosen[1])
        elif self._chosen is not None:
            self._to_options(self._chosen[1])

    def _edit(self, setting: Setting) -> None:
        if setting.kind == "bool":
            value = draft.value_at(self._document, setting.path)
            now = setting.usual if value is None else value
            self._change(draft.put(self._document, setting.path, None if setting.usual == (not now) else not now))
        elif setting.choices:
            self._pick(setting)
        else:
            self._type(setting)

    def _pick(self, setting: Setting) -> None:
        now = setting.text(self._document) or setting.default_text()
        items = [Item(choice, choice, "as it is" if choice == now else "") for choice in setting.choices]
        if setting.absent:
            items.insert(0, Item("", "automatic", setting.absent))

        def picked(choice: str | None) -> None:
            if choice is not None:
                self._change(compose_settings.choose(self._document, setting, choice or None))

        self.push(Picker(setting.name, items), picked)

    def _type(self, setting: Setting) -> None:
        def check(text: str) -> str | None:
            return compose_settings.problem(self._document, setting, text, Path.cwd())

        def typed(text: str | None) -> None:
            if text is not None:
                self._change(draft.put(self._document, setting.path, compose_settings.read(setting, text)))

        title = draft.dotted(setting.path)
        self.push(Prompt(title, setting.text(self._document), hint=setting.about(), check=check), typed)

    def _ask_path(self, kind: str) -> None:
        now, _, path = str(self._document.get("dataset", "")).partition(":")

        def check(text: str) -> str | None:
            place = Path(text.strip()).expanduser()
            if not text.strip():
                return "where is it?"
            if kind == "folder":
                return None if place.is_dir() else f"there is no folder {place}"
            return None if place.is_file() else f"there is no file {place}"

        def typed(text: str | None) -> None:
            if text is not None:
                place = Path(text.strip()).expanduser().resolve()
                self._change({**self._document, "dataset": f"{kind}:{place}"}, (kind, 0))

        hints = {
            "folder": "a folder with train/CLASS/ and test/CLASS/, pictures of one size",
            "npz": "a file with x_train, y_train, x_test, y_test",
        }
        self.push(Prompt(f"{kind}: where", path if now == kind else "", hint=hints[kind], check=check), typed)

    def action_undo(self) -> None:
        if not self._before:
            self.say("nothing to take back")
            return
        before = self._document
        self._take(self._before.pop())
        if self._open is not None:
            counts = [len(draft.items(document, self._part.name)) for document in (before, self._document)]
            if counts[0] != counts[1]:
                self._show_options(None)  # what was open is gone, or stands elsewhere
        self._draw()
