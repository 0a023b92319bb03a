"""What leaves the Lab and what it changes: tables to files, runs deleted or run again. Each asks first what must be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from app.tui.lab import exports, run_words, words
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
            page.do(lambda: write(path), lambda rows: page.say(f"wrote {rows:,} rows to {path}   ≡ {command(path)}"))

    hint = f"{what}, one row each, in their order; the ending decides the format"
    page.push(Prompt("Export to", name, hint=hint, check=check), chosen)


def delete(page: Page, trials: Sequence[str], then: Callable[[], None]) -> None:
    """For good, once that is confirmed; `then` is done with it."""
    if not trials:
        return
    what = run_words.runs(len(trials))

    def sure(yes: bool | None) -> None:
        if yes:
            then()
            command = f"innate delete {' '.join(map(short_id, trials))} --yes"
            page.steer(Delete(tuple(trials)), lambda _: f"deleted {what}", command)

    page.push(Confirm(f"Delete {what} with weights and results, from every study, for good?"), sure)


def retry(page: Page, trials: Sequence[str]) -> None:
    """What failed or was cancelled of them."""
    if trials:
        command = f"innate retry {' '.join(map(short_id, trials))}"
        page.steer(Retry(tuple(trials)), lambda _: "asked to run again what had failed or was cancelled", command)
