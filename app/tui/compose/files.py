"""Where a draft in Compose comes from and where it goes: presets, earlier studies, study files."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from app.report.toml import toml_text
from app.tui.compose.draft import Document
from app.tui.compose.model import Composition, fed
from app.tui.compose.questions import place_of
from app.tui.compose.words import study_text
from app.tui.shell.page import Page
from app.tui.shell.session import Beginning
from app.tui.widgets.dialogs import Confirm, Item, Picker, Prompt
from core.errors import BadInput, InnateError
from core.study.presets import preset_names, preset_text
from core.study.resolve import load_study, parse_toml


def ask_beginning(page: Page, begin: Callable[[Beginning], None]) -> None:
    """Ask on `page` for a preset, an earlier study or a study file; `begin` gets it."""
    page.run_worker(_offer(page, begin), exit_on_error=False)


async def _offer(page: Page, begin: Callable[[Beginning], None]) -> None:
    from storage.studies import studies_with_grid

    items = [
        Item(("preset", name), name, f"preset: {study_text(parse_toml(preset_text(name), name))}")
        for name in preset_names()
    ]
    try:
        stored = await page.session.reader.ask(studies_with_grid)
    except InnateError as error:
        stored = []
        page.complain(str(error))
    items += [Item(("study", row.study), row.study, f"study: {row.trials} trials on {row.dataset}") for row in stored]
    items.append(Item(("file", ""), "a study file …", "TOML, as w writes it"))

    def picked(answer: tuple[str, str] | None) -> None:
        if answer is not None:
            page.run_worker(_find(page, *answer, begin), exit_on_error=False)

    page.push(Picker("Start from", items), picked)


async def _find(page: Page, kind: str, name: str, begin: Callable[[Beginning], None]) -> None:
    from storage.studies import document

    if kind == "file":
        _ask_file(page, begin)
    elif kind == "preset":
        found = parse_toml(preset_text(name), name)
        begin(Beginning(found, name, f"started from the preset {name}; u takes it back"))
    else:
        try:
            found = await page.session.reader.ask(lambda db: document(db, name))
        except InnateError as error:
            page.complain(str(error))
            return
        told = f"started from the study {name}; give it another name to leave that one as it is"
        begin(Beginning(found, None, told))


def _ask_file(page: Page, begin: Callable[[Beginning], None]) -> None:
    def check(text: str) -> str | None:
        try:
            _read(text)
        except InnateError as error:
            return str(error)
        return None

    def typed(text: str | None) -> None:
        if text is not None:
            begin(Beginning(_read(text), text.strip(), f"started from {text.strip()}; u takes it back"))

    page.push(Prompt("Start from the file", "study.toml", hint="a study file", check=check), typed)


def _read(text: str) -> Document:
    """The document in a study file, its paths made absolute. Raises InnateError for what is no study file."""
    path = place_of(text)
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    return dict(load_study(str(path)).document)


def ask_place(page: Page, model: Composition) -> None:
    """Ask on `page` where to save the study file, and save it there."""

    def check(text: str) -> str | None:
        path = place_of(text)
        if path.suffix != ".toml":
            return "name it .toml"
        if path.is_dir():
            return f"{path} is a folder"
        if not path.absolute().parent.is_dir():
            return f"there is no folder {path.absolute().parent}"
        return page.session.context.refusal(path)

    def typed(text: str | None) -> None:
        if text is None:
            return
        path = place_of(text)
        if not path.exists():
            _save(page, model, path)
            return
        question = f"{path} exists already. Replace it?"
        page.push(Confirm(question), lambda yes: _save(page, model, path) if yes else None)

    wrong = next(iter(model.mistakes.values()), None)
    hint = "a study file for innate plan and innate run"
    if wrong is not None:
        hint = f"it can be saved, but not run yet: {wrong.text}"
    page.push(Prompt("Save as", model.file, hint=hint, check=check), typed)


def _save(page: Page, model: Composition, path: Path) -> None:
    document, own = model.document, page.session.context.in_use

    def work() -> None:
        from storage.export import beside

        with beside(path, own, force=True) as partial:
            partial.write_text(toml_text(document), encoding="utf-8")

    def saved(_: None) -> None:
        model.saved_as(str(path), document)
        page.did("saved", fed(f"cat > {shlex.quote(str(path))}", toml_text(document)))

    page.do(work, saved)
