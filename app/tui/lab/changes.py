"""What leaves the Lab and what it changes: tables to files; runs attacked harder, edited, noted on, deleted, run again. Each asks
first what must be asked. It is about the marked runs, else about those of the row under the cursor."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.tui.followup.harder import ask_harder, harder_command
from app.tui.followup.notes import ask_note
from app.tui.followup.resubmit import resubmit as edit
from app.tui.followup.resubmit import resubmit_command
from app.tui.lab import exports, run_words, words
from app.tui.lab.front import Rows
from app.tui.lab.loaded import Loaded
from app.tui.lab.rows import LabRow
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Confirm, Prompt
from core.names import short_id
from storage.changes import Delete, Retry
from storage.listing import Filter


def export_groups(page: Page, loaded: Loaded, rows: Sequence[LabRow]) -> None:
    """One row for each group, with its score and ε."""
    records = exports.records(loaded, rows)

    def write(path: Path) -> int:
        from storage.export import export_table

        return export_table(path, records, list(records[0]) if records else ["study"], page.session.context.in_use)

    command = f"{words.results_command(loaded)} --format csv"
    _ask_where(
        page, "the groups, with score and ε", exports.name_for(loaded, None, Path.cwd()), write, lambda _: command
    )


def export_runs(page: Page, chosen: Filter, study: str | None) -> None:
    """The filtered runs of a study, or of all."""
    remembered, context = page.session.remembered, page.session.context

    def write(path: Path) -> int:
        from storage.export import export_listing

        wanted = chosen if study is None else chosen.narrowed("study", study)
        db = context.reading(hint=False)
        try:
            return export_listing(db, path, wanted, remembered.sort, context.in_use, descending=remembered.descending)
        finally:
            db.conn.close()

    name = exports.name_for(None, study, Path.cwd())
    _ask_where(
        page,
        "the filtered runs",
        name,
        write,
        lambda path: run_words.listing_command(chosen.text, remembered, path, study),
    )


def _ask_where(page: Page, what: str, name: str, write: Callable[[Path], int], command: Callable[[Path], str]) -> None:
    def check(text: str) -> str | None:
        return exports.refusal(text) or page.session.context.refusal(Path(text).expanduser())

    def chosen(text: str | None) -> None:
        if text is not None:
            path = Path(text).expanduser()
            page.do(lambda: write(path), lambda rows: page.did(f"wrote {rows:,} rows to {path}", command(path)))

    hint = f"{what}, one row each, in their order; the ending decides the format"
    page.push(Prompt("Export to", name, hint=hint, check=check), chosen)


def _with_meant(page: Page, rows: Rows, then: Callable[[list[str]], None]) -> None:
    """Hand on the marked trials, else those of the row under the cursor."""
    marks = page.session.remembered.marks
    if marks:
        then(sorted({trial for _, trial in marks}))
    else:
        rows.with_trials(then)


def harder(page: Page, rows: Rows) -> None:
    """Marks may be of several studies; an attack is asked for in one."""
    study = rows.study
    if study is None:
        return
    marked = {trial for of, trial in page.session.remembered.marks if of == study}

    def ask(trials: list[str]) -> None:
        ask_harder(page, study, [trial for trial in trials if trial in marked] if marked else trials)

    _with_meant(page, rows, ask)


def resubmit(page: Page, rows: Rows) -> None:
    """The one run that stands for the row."""
    study = rows.study
    if study is not None:
        rows.with_subject(lambda trial: edit(page, study, trial))


def note(page: Page, rows: Rows) -> None:
    """On the row's variant, or, where it has several, on the study."""
    if rows.study is not None:
        ask_note(page, rows.study, rows.variant_id)


def delete(page: Page, rows: Rows, then: Callable[[], None]) -> None:
    """For good, once that is confirmed; `then` is done with it."""

    def ask(trials: Sequence[str]) -> None:
        if not trials:
            return
        what = run_words.runs(len(trials))

        def sure(yes: bool | None) -> None:
            if yes:
                then()
                command = f"innate delete {' '.join(map(short_id, trials))} --yes"
                page.steer(Delete(tuple(trials)), lambda _: f"deleted {what}", command)

        page.push(Confirm(f"Delete {what} with weights and results, from every study, for good?"), sure)

    _with_meant(page, rows, ask)


def retry(page: Page, rows: Rows) -> None:
    """What failed or was cancelled of them."""

    def ask(trials: Sequence[str]) -> None:
        if trials:
            command = f"innate retry {' '.join(map(short_id, trials))}"
            page.steer(Retry(tuple(trials)), lambda _: "asked to run again what had failed or was cancelled", command)

    _with_meant(page, rows, ask)


def equivalents(rows: Rows) -> Mapping[str, str]:
    """Of what is about the row under the cursor."""
    study, trials, subject = rows.study, rows.trials, rows.subject
    if study is None or not trials or subject is None:
        return {}
    of = shlex.quote(study)
    noted = of if rows.variant_id is None else f"{short_id(trials[0])} --study {of}"
    return {
        "harder": harder_command(study, trials),
        "resubmit": resubmit_command(study, subject),
        "note": f"innate note {noted}",
        "view('images')": f"innate examples {short_id(trials[0])}",
    }
