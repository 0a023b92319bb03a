"""`studies`, `trials`, `show`, `delete`, `init`."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from app.cli.context import complete_preset, complete_study, context_of, study_of_trial
from app.cli.output import emit_json, emit_rows, table, width
from app.cli.results import pairs
from app.context import Context
from app.report.text import moment, percent
from core.errors import BadInput
from core.names import short_id

_LOG_LINES = 8
"""Of what has happened to a trial, the last."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Study = Annotated[str | None, typer.Option("--study", help="Only of this study.", autocompletion=complete_study)]


def register(app: typer.Typer) -> None:
    app.command("studies", epilog="Example: innate studies --json")(studies)
    app.command(
        "trials",
        epilog="Examples: innate trials --where optimizer=adam; innate trials --filter 'clean>0.9' --sort innate; "
        "innate trials --left",
    )(trials)
    app.command("show", epilog="Example: innate show 1f00ba4d")(show)
    app.command(
        "delete", epilog="Examples: innate delete 1f00ba4d --yes; innate delete --study quick; innate delete --left"
    )(delete)
    app.command(
        "init",
        epilog="Examples: innate init study.toml; innate init paper.toml --from paper-mnist; "
        "innate init again.toml --from 1f00ba4d",
    )(init)


def studies(ctx: typer.Context, as_json: Json = False) -> None:
    """List the studies, the one run last first."""
    from app.report.noted import note_text
    from storage.studies import studies as listed

    rows = listed(context_of(ctx).reading())
    if as_json:
        emit_rows("studies", rows)
        return
    lines = [
        [
            row.study,
            row.dataset,
            *(str(count) for count in (row.trials, row.done, row.running, row.queued, row.failed)),
            moment(row.run_at),
        ]
        for row in rows
    ]
    headings = ["study", "dataset", "trials", "done", "running", "queued", "failed", "run"]
    typer.echo(table(headings, lines, right=range(2, 7), fill=0))
    noted = [f"{row.study}: {note}" for row in rows if (note := note_text(row.note, row.tags))]
    if noted:
        typer.echo("\n" + "\n".join(textwrap.fill(line, width(), subsequent_indent="  ") for line in noted))


def trials(
    ctx: typer.Context,
    study: Study = None,
    where: Annotated[list[str] | None, typer.Option(help="Only these, such as optimizer=adam; repeatable.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, done, failed or cancelled.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    chosen: Annotated[
        str, typer.Option("--filter", help='Such as "optimizer=adam clean>0.9 trust!=ok optimizer.lr<0.01 tag=keep".')
    ] = "",
    sort: Annotated[str | None, typer.Option(help="By study, clean, worst, kept, area, innate, seconds, … .")] = None,
    descending: Annotated[bool, typer.Option("--descending", help="The largest first.")] = False,
    left: Annotated[
        bool, typer.Option("--left", help="Only those that are in no study since its grid was changed.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write them, scores too, to a .csv, .json or .jsonl file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List trials with their state; those that are in no study any more come last."""
    from app.report.leaving import outside_text
    from app.report.variants import levels, seed_text, varying
    from storage import listing, queries

    if left and study is not None:
        raise BadInput("trials: --left lists what is in no study, --study what is in one: use one of them")
    wanted = listing.parse_filter(chosen)
    context = context_of(ctx)
    db = context.reading()
    wanted = queries.chosen_trials(db, study, pairs(where or ()), state, wanted)
    if output is not None:
        from storage.export import export_listing

        written = export_listing(
            db, output, wanted, sort, context.in_use, descending=descending, in_studies=not left, outside=True
        )
        context.say(f"wrote {written} rows to {output}")
        return
    listed = listing.outside if left else listing.anywhere
    rows = listed(db, wanted, sort, descending=descending, limit=-1 if limit is None else limit)
    if as_json:
        emit_rows("trials", rows)
        return
    factors = varying(rows) or ["architecture"]
    columns = [levels(rows, factor) for factor in factors]
    several = len({row.study for row in rows}) > 1
    lines = [
        [
            short_id(row.trial_id),
            *([row.study or "–"] if several else []),
            *names,
            seed_text(row),
            row.state,
            percent(row.clean_accuracy),
            row.reason or ("" if row.trust in (None, "ok") else row.trust),
        ]
        for row, *names in zip(rows, *columns, strict=True)
    ]
    headings = ["trial", *(["study"] if several else []), *factors, "seed", "state", "clean %", "remark"]
    typer.echo(table(headings, lines, right=[len(headings) - 4, len(headings) - 2]))
    for line in outside_text(rows):
        typer.echo(line)


def show(
    ctx: typer.Context,
    trial: Annotated[str, typer.Argument(help="An id, or the beginning of one.")],
    as_json: Json = False,
) -> None:
    """Everything about one trial: configuration, training, results, scores, attempts, what went wrong."""
    from app.report.trial_page import trial_page
    from app.worker.narration import story
    from storage import queries
    from storage.reading import as_json as plain
    from storage.trial import trial_detail

    context = context_of(ctx)
    db = context.reading()
    detail = trial_detail(db, queries.find_trial(db, trial))
    log = story(db, detail.trial_id)[-_LOG_LINES:]
    if as_json:
        emit_json("trial", [{**plain(detail), "log": log}])
    else:
        typer.echo(trial_page(detail, log, width(), every=context.verbose))


def delete(
    ctx: typer.Context,
    trials: Annotated[list[str] | None, typer.Argument(help="Ids, or beginnings of ids.", metavar="[TRIAL]...")] = None,
    study: Annotated[str | None, typer.Option("--study", help="A whole study.", autocompletion=complete_study)] = None,
    left: Annotated[bool, typer.Option("--left", help="All trials that are in no study any more.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget trials, or a study and the trials that no other study has, with weights and results."""
    from app.report.leaving import COMMAND
    from app.worker.changes import perform
    from storage import deletion, queries
    from storage.changes import Delete
    from storage.studies import study_row

    if sum(map(bool, (trials, study, left))) != 1:
        raise BadInput("delete: name trials, or a study with --study, or say --left (and only one of them)")
    context = context_of(ctx)
    db = context.writing()
    if study:
        study_row(db, study)
        what = f"study {study} and the trials that only it has"
    else:
        ids = deletion.outside(db) if left else [queries.find_trial(db, prefix) for prefix in trials or ()]
        if not ids:
            context.say("every trial is in a study, so there is nothing to remove")
            return
        what = f"{len(ids)} trial{'s' if len(ids) > 1 else ''} with all results"
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput(f"delete: this would remove {what} for good; add --yes")
        typer.confirm(f"Remove {what} for good?", abort=True, err=True)
    removed = perform(db, context.home, Delete(study=study) if study else Delete(tuple(ids))).deleted
    context.say(f"removed {len(removed)} trial{'' if len(removed) == 1 else 's'}")
    stay = deletion.outside(db, study) if study else []
    if stay:
        context.say(f"{len(stay)} that had left {study} before stay{'s' if len(stay) == 1 else ''}: {COMMAND}")


def init(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.toml"),
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PRESET|TRIAL",
            help="Start from this preset, or from one trial.",
            autocompletion=complete_preset,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", help="Of a trial: of which study; the last run that has it.", autocompletion=complete_study
        ),
    ] = None,
) -> None:
    """Write a study file to edit: a commented one, a preset, or that of one trial, so as to run it again with other settings."""
    from core.study.presets import preset_names, preset_text, study_template
    from storage.destinations import refuse_in_use

    context = context_of(ctx)
    if start is None or start in preset_names():
        if study is not None:
            raise BadInput("init --study: is for a trial; name one with --from")
        text = study_template() if start is None else preset_text(start)
    else:
        text = _of_trial(context, start, study)
    refuse_in_use(file, context.in_use)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{file}: exists already and was left as it is; name another file") from None
    except OSError as error:
        raise BadInput(f"{file}: cannot be written: {error.strerror}") from None
    context.say(f"wrote {file}; edit it, then: innate plan {file}, innate run {file}")


def _of_trial(context: Context, prefix: str, study: str | None) -> str:
    """The study file of one trial. Raises BadInput or NotFound for what is neither a preset nor a trial."""
    from app.report.resubmission import resubmission
    from app.report.toml import toml_text
    from core.registry import nearest
    from core.study.presets import preset_names
    from storage import queries

    if not re.fullmatch(r"[0-9a-fA-F]+", prefix):
        raise BadInput(
            f"--from {prefix}: no such preset{nearest(prefix, preset_names())}; ids of trials are hex digits"
        )
    db = context.reading(hint=False)
    trial = queries.find_trial(db, prefix)
    name = study_of_trial(db, trial, study)
    return f"# Trial {short_id(trial)} of study {name}, to edit.\n\n{toml_text(resubmission(db, name, trial))}"
