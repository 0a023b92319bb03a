"""`note`: what people want to remember of a study or a variant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import complete_study, context_of, study_of_trial
from app.cli.output import emit_rows, table
from core.errors import BadInput, NotFound
from core.registry import meant

if TYPE_CHECKING:
    from sqlite_utils import Database


def register(app: typer.Typer) -> None:
    app.command(
        "note",
        epilog='Examples: innate note quick "for the paper" --tag keep; innate note 1f00ba4d --tag ask-ann; innate note quick; '
        "innate trials --filter tag=keep",
    )(note)


def note(
    ctx: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            help="A study, or a trial: the note is on its variant.",
            metavar="STUDY|TRIAL",
            autocompletion=complete_study,
        ),
    ],
    text: Annotated[
        str | None, typer.Argument(help='What to note; "" takes the text away.', show_default=False)
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Add this tag, a word; repeatable.")] = None,
    untag: Annotated[list[str] | None, typer.Option("--untag", help="Take this tag off; repeatable.")] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", help="Of a trial: in which study; the last run that has it.", autocompletion=complete_study
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Note something on a study or a variant, or show what is noted on it and, of a study, on its variants. Filters find tags
    and texts: tag=keep, note~curve."""
    from app.report.noted import note_text, subject_names
    from app.worker.changes import perform
    from storage import notes, queries
    from storage.changes import Note

    context = context_of(ctx)
    db = context.reading(hint=False)
    name, variant = _subject(db, subject, study)
    if text is None and not tag and not untag:
        rows = notes.notes_in(db, name) if variant is None else [notes.note_on(db, name, variant)]
    else:
        tags = tuple(map(notes.tag_of, tag or ()))  # before a worker is asked
        change = Note(name, variant, text, tags, tuple(untag or ()))
        rows = [perform(context.writing(), context.home, change)]
    if as_json:
        emit_rows("notes", rows)
        return
    names = subject_names(rows, queries.trials(db, name))
    lines = [[on, note_text(row.text, row.tags)] for on, row in zip(names, rows, strict=True) if row.text or row.tags]
    if lines:
        typer.echo(table([name, "note"], lines))
    else:
        context.say(f"{name}: nothing is noted on {names[0] if names else 'the study or its variants'}")


def _subject(db: Database, subject: str, study: str | None) -> tuple[str, str | None]:
    """(study, variant id, None for the study itself). Raises NotFound for neither a study nor a trial."""
    from storage import queries
    from storage.studies import studies, trials_of
    from storage.trial import trial_detail
    from storage.tuning import is_companion

    if trials_of(db, subject) is not None and not is_companion(subject):
        if study is not None:
            raise BadInput(f"note: {subject} is a study; --study is for a trial")
        return subject, None
    if not re.fullmatch(r"[0-9a-fA-F]+", subject):
        near = meant(subject, [row.study for row in studies(db)])
        raise NotFound(f"note: there is no study {subject!r}{near}, and ids of trials are hex digits")
    trial = queries.find_trial(db, subject)
    return study_of_trial(db, trial, study), trial_detail(db, trial).variant_id
