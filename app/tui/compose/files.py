"""Where a draft in Compose comes from and where it goes: presets, earlier studies, study files."""

from __future__ import annotations

import shlex
from pathlib import Path

from app.tui.compose import draft
from app.tui.compose.draft import Document
from app.tui.compose.edits import ComposeEdits
from app.tui.compose.rows import study_text, toml_content
from app.tui.compose.toml import toml_text
from app.tui.widgets.dialogs import Confirm, Item, Picker, Prompt, TextPage
from core.errors import BadInput, InnateError


class ComposeFiles(ComposeEdits):
    """Knows what the draft was started from or saved as."""

    _origin: tuple[str, Document] | None = None
    """That preset or file, and how the draft stood then."""

    def action_new(self) -> None:
        self._begin_with(draft.empty(), None, "nothing chosen yet; u takes it back")

    def _begin_with(self, document: Document, spec: str | None, told: str) -> None:
        self._open, self._places = None, {}
        self._close_search()
        self._origin = None if spec is None else (spec, document)
        self._change(document)
        self._enter_list()
        self.say(told)

    def action_start(self) -> None:
        self.run_worker(self._offer(), exit_on_error=False)

    async def _offer(self) -> None:
        from core.study.presets import preset_names, preset_text
        from core.study.resolve import parse_toml
        from storage.studies import studies_with_grid

        items = []
        for name in preset_names():
            found = parse_toml(preset_text(name), name)
            items.append(Item(("preset", name), name, f"preset: {study_text(found)}"))
        try:
            stored = await self.session.reader.ask(studies_with_grid)
        except InnateError as error:
            stored = []
            self.complain(str(error))
        items += [
            Item(("study", row.study), row.study, f"study: {row.trials} trials on {row.dataset}") for row in stored
        ]
        items.append(Item(("file", ""), "a study file …", "TOML, as w writes it"))

        def picked(answer: tuple[str, str] | None) -> None:
            if answer is not None:
                self.run_worker(self._start_from(*answer), exit_on_error=False)

        self.push(Picker("Start from", items), picked)

    async def _start_from(self, kind: str, name: str) -> None:
        from core.study.presets import preset_text
        from core.study.resolve import parse_toml
        from storage.studies import document

        if kind == "file":
            self._ask_file()
        elif kind == "preset":
            self._begin_with(
                parse_toml(preset_text(name), name), name, f"started from the preset {name}; u takes it back"
            )
        else:
            try:
                found = await self.session.reader.ask(lambda db: document(db, name))
            except InnateError as error:
                self.complain(str(error))
                return
            told = f"started from the study {name}; give it another name to leave that one as it is"
            self._begin_with(found, None, told)

    def _ask_file(self) -> None:
        def check(text: str) -> str | None:
            try:
                _read(text)
            except InnateError as error:
                return str(error)
            return None

        def typed(text: str | None) -> None:
            if text is not None:
                self._begin_with(_read(text), text.strip(), f"started from {text.strip()}; u takes it back")

        self.push(Prompt("Start from the file", "study.toml", hint="a study file", check=check), typed)

    def action_see(self) -> None:
        self.push(TextPage(self._file, toml_content(toml_text(self._document))), lambda _: None)

    def action_save(self) -> None:
        def check(text: str) -> str | None:
            path = Path(text.strip()).expanduser()
            if path.suffix != ".toml":
                return "name it .toml"
            if path.is_dir():
                return f"{path} is a folder"
            if not path.absolute().parent.is_dir():
                return f"there is no folder {path.absolute().parent}"
            return self.session.context.refusal(path)

        def typed(text: str | None) -> None:
            if text is None:
                return
            path = Path(text.strip()).expanduser()
            if not path.exists():
                self._save(path)
                return
            self.push(Confirm(f"{path} exists already. Replace it?"), lambda yes: self._save(path) if yes else None)

        wrong = next(iter(self._wrong.values()), None)
        hint = "a study file for innate plan and innate run"
        if wrong is not None:
            hint = f"it can be saved, but not run yet: {wrong.text}"
        self.push(Prompt("Save as", self._file, hint=hint, check=check), typed)

    def _save(self, path: Path) -> None:
        document, own = self._document, self.session.context.in_use

        def work() -> None:
            from storage.export import beside

            with beside(path, own, force=True) as partial:
                partial.write_text(toml_text(document), encoding="utf-8")

        def saved(_: None) -> None:
            self._origin = (str(path), document)
            self.say(f"saved   ≡ innate run {shlex.quote(str(path))}")

        self.do(work, saved)

    @property
    def _file(self) -> str:
        """The study file's name: where it was saved or read last, else after the study."""
        if self._origin is not None and self._origin[0].endswith(".toml"):
            return self._origin[0]
        return f"{self._document.get('name') or 'study'}.toml"

    @property
    def _spec(self) -> str:
        """What to give to `innate run` for the draft; a file of that name is what w writes."""
        if self._origin is not None and self._origin[1] == self._document:
            return shlex.quote(self._origin[0])
        return shlex.quote(self._file)


def _read(text: str) -> Document:
    """The document in a study file, its paths made absolute. Raises InnateError for what is no study file."""
    from core.study.resolve import load_study

    path = Path(text.strip()).expanduser()
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    return dict(load_study(str(path)).document)
