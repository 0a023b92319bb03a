"""`studies`, `trials`, `show`, `delete`, `init`."""

from __future__ import annotations

import datetime
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.context import complete_preset, complete_study, context_of
from app.cli.output import emit_json, number, percent, table, width
from app.cli.results import pairs
from core.errors import BadInput

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Study = Annotated[str | None, typer.Option("--study", help="Only of this study.", autocompletion=complete_study)]


def register(app: typer.Typer) -> None:
    app.command("studies", epilog="Example: innate studies --json")(studies)
    app.command(
        "trials",
        epilog="Examples: innate trials --where optimizer=adam; innate trials --filter 'clean>0.9' --sort innate",
    )(trials)
    app.command("show", epilog="Example: innate show 1f00ba4d")(show)
    app.command("delete", epilog="Examples: innate delete 1f00ba4d --yes; innate delete --study quick")(delete)
    app.command("init", epilog="Examples: innate init study.toml; innate init paper.toml --from paper-mnist")(init)


def studies(ctx: typer.Context, as_json: Json = False) -> None:
    """List the studies, the one run last first."""
    from storage.studies import studies as listed

    rows = listed(context_of(ctx).reading())
    if as_json:
        emit_json("studies", rows)
        return
    states = ("done", "running", "queued", "failed")
    lines = [
        [row["study"], row["dataset"], *(str(row[key]) for key in ("trials", *states)), _when(row["run_at"])]
        for row in rows
    ]
    typer.echo(table(["study", "dataset", "trials", *states, "run"], lines, right=range(2, 7), fill=0))


def trials(
    ctx: typer.Context,
    study: Study = None,
    where: Annotated[list[str] | None, typer.Option(help="Only these, such as optimizer=adam; repeatable.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, done, failed or cancelled.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    chosen: Annotated[
        str, typer.Option("--filter", help='Such as "optimizer=adam clean>0.9 trust!=ok optimizer.lr<0.01".')
    ] = "",
    sort: Annotated[str | None, typer.Option(help="By study, clean, worst, kept, area, innate, seconds, … .")] = None,
    descending: Annotated[bool, typer.Option("--descending", help="The largest first.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write them, scores too, to a .csv, .json or .jsonl file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List trials with their state."""
    from app.report.variants import levels, seed_text, varying
    from storage import queries
    from storage.listing import parse_filter

    wanted = parse_filter(chosen)
    context = context_of(ctx)
    db = context.reading()
    if output is not None:
        from storage.export import export_listing

        narrowed = queries.chosen_trials(db, study, pairs(where or ()), state, wanted)
        written = export_listing(db, output, narrowed, sort, context.in_use, descending=descending)
        context.say(f"wrote {written} rows to {output}")
        return
    rows = queries.trials(db, study, pairs(where or ()), state, limit, chosen=wanted, order=sort, descending=descending)
    if as_json:
        emit_json("trials", rows)
        return
    factors = varying(rows) or ["architecture"]
    columns = [levels(rows, factor) for factor in factors]
    several = len({row["study"] for row in rows}) > 1
    lines = [
        [
            row["trial_id"][:10],
            *([row["study"]] if several else []),
            *names,
            seed_text(row),
            row["state"],
            percent(row["clean_accuracy"]),
            row["reason"] or ("" if row["trust"] in (None, "ok") else row["trust"]),
        ]
        for row, *names in zip(rows, *columns, strict=True)
    ]
    headings = ["trial", *(["study"] if several else []), *factors, "seed", "state", "clean %", "remark"]
    typer.echo(table(headings, lines, right=[len(headings) - 4, len(headings) - 2]))


def show(
    ctx: typer.Context,
    trial: Annotated[str, typer.Argument(help="An id, or the beginning of one.")],
    as_json: Json = False,
) -> None:
    """Everything about one trial: configuration, training, results, scores, attempts, what went wrong."""
    from storage import queries

    context = context_of(ctx)
    db = context.reading()
    detail = queries.trial_detail(db, queries.find_trial(db, trial))
    detail["log"] = _log_of(context.lived_in.worker_log, detail["trial_id"])
    if as_json:
        emit_json("trial", [detail])
    else:
        typer.echo("\n".join(part for line in _sections(detail, every=context.verbose) for part in _folded(line)))


def delete(
    ctx: typer.Context,
    trials: Annotated[list[str] | None, typer.Argument(help="Ids, or beginnings of ids.", metavar="[TRIAL]...")] = None,
    study: Annotated[str | None, typer.Option("--study", help="A whole study.", autocompletion=complete_study)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget trials, or a study and the trials that no other study has, with weights and results."""
    from app.worker.changes import perform
    from storage import queries
    from storage.studies import study_row

    if bool(trials) == bool(study):
        raise BadInput("delete: name trials, or a study with --study (and not both)")
    context = context_of(ctx)
    db = context.writing()
    if study:
        study_row(db, study)
        what = f"study {study} and the trials that only it has"
    else:
        ids = [queries.find_trial(db, prefix) for prefix in trials or ()]
        what = f"{len(ids)} trial{'s' if len(ids) > 1 else ''} with all results"
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput(f"delete: this would remove {what} for good; add --yes")
        typer.confirm(f"Remove {what} for good?", abort=True, err=True)
    payload: dict[str, Any] = {"study": study} if study else {"trials": ids}
    removed = perform(db, context.home, "delete", payload)["deleted"]
    context.say(f"removed {len(removed)} trial{'' if len(removed) == 1 else 's'}")


def init(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.toml"),
    preset: Annotated[
        str | None, typer.Option("--from", help="Start from this preset.", autocompletion=complete_preset)
    ] = None,
) -> None:
    """Write a commented study file to edit."""
    from core.registry import nearest
    from core.study.presets import preset_names, preset_text, study_template
    from storage.destinations import refuse_in_use

    if preset is not None and preset not in preset_names():
        raise BadInput(f"--from {preset}: no such preset{nearest(preset, preset_names())}")
    text = preset_text(preset) if preset else study_template()
    context = context_of(ctx)
    refuse_in_use(file, context.in_use)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{file}: exists already and was left as it is; name another file") from None
    except OSError as error:
        raise BadInput(f"{file}: cannot be written: {error.strerror}") from None
    context.say(f"wrote {file}; edit it, then: innate plan {file}, innate run {file}")


def _sections(detail: Mapping[str, Any], *, every: bool) -> list[str]:
    """The page that `show` prints; `every` check or only those with something to say."""
    from app.report.variants import seed_text

    lines = [f"trial {detail['trial_id']}", f"variant {detail['variant_id'][:10]}, seed {seed_text(detail)}", ""]
    if detail["imported"] is not None:
        lines.append(f"imported      {detail['imported']}: trained elsewhere, so what is unknown here stays so")
        lines.append(f"dataset       {detail['dataset']}")
    else:
        lines.append(f"dataset       {detail['dataset']} ({detail['train_samples'] or 'all'} training samples)")
    for factor in ("architecture", "optimizer", "activation", "defense"):
        options = detail[f"{factor}_options"] or {}
        shown = ", ".join(f"{key}={value}" for key, value in options.items())
        lines.append(f"{factor:<13} {detail[factor] or 'unknown'}" + (f" ({shown})" if shown else ""))
    for key, value in (detail["training"] or {}).items():
        lines.append(f"{key:<15} {value['name'] if isinstance(value, dict) else value}")
    for key in ("initial_digest", "final_digest"):
        lines.append(f"{key:<15} {detail[key] or '-'}")
    for study in detail["studies"]:
        lines.append("")
        lines.append(
            f"in study {study['study']}: {study['state']}" + (f" - {study['reason']}" if study["reason"] else "")
        )
        if study["trust"]:
            lines.append(f"trust: {study['trust']}")
            lines += [f"  {reason}" for reason in study["trust_reasons"] or ()]
            lines += _check_lines([row for row in detail["checks"] if row["study"] == study["study"]], every=every)
        rows = [row for row in detail["scores"] if row["study"] == study["study"]]
        if rows:
            lines.append(_score_table(rows))
        rows = [row for row in detail["results"] if row["study"] == study["study"]]
        if rows:
            lines += ["", _result_table(rows)]
    if detail["epochs"]:
        probed = any(row["probe_accuracy"] is not None for row in detail["epochs"])
        headings = ["epoch", "loss", "accuracy %", "validation %", *(["probe %"] if probed else []), "lr", "seconds"]
        epochs = [
            [
                str(row["epoch"]),
                number(row["loss"], 4),
                percent(row["accuracy"]),
                percent(row["validation_accuracy"]),
                *([percent(row["probe_accuracy"])] if probed else []),
                f"{row['lr']:g}",
                number(row["seconds"]),
            ]
            for row in detail["epochs"]
        ]
        lines += ["", table(headings, epochs, right=range(len(headings)))]
    for failed in detail["failed_evaluations"]:
        lines += ["", f"{failed['attack']} failed: {failed['reason']}", *_end_of(failed["traceback"])]
    lines += ["", *_attempts(detail["attempts"])]
    if detail["log"]:
        lines += ["", "last in the worker's log:", *(f"  {line}" for line in detail["log"])]
    return lines


def _log_of(path: Path, trial_id: str, count: int = 8) -> list[str]:
    """The end of what a detached worker's log says of a trial."""
    from app.worker.log import last_lines

    if not path.exists():
        return []
    return [line for line in last_lines(path, 20_000) if trial_id[:10] in line][-count:]


def _folded(line: str) -> list[str]:
    """Prose cut to the terminal's width; tables, which come as several lines, fit already."""
    if "\n" in line or len(line) <= width():
        return [line]
    return textwrap.wrap(line, width(), subsequent_indent=" " * 14)


def _check_lines(rows: Sequence[Mapping[str, Any]], *, every: bool) -> list[str]:
    """The checks behind a verdict, besides the reasons that it names."""
    aside = [row for row in rows if row["trust"] != "ok" and not row["counted"]]
    passed = [row for row in rows if row["trust"] == "ok"]
    lines = [f"  set aside, since {_ANSWERS.get(row['check'], _STRONGER)}: {row['reason']}" for row in aside]
    lines += [f"  {row['reason']}" for row in passed if row["reason"]]
    if not every:
        return [*lines, f"  {len(passed)} of {len(rows)} checks passed; innate -v show lists them"] if rows else lines
    cells = [
        [
            row["check"],
            row["attack"] or "-",
            _place(row),
            row["trust"],
            *(number(row[key], 3) for key in ("value", "bound")),
        ]
        for row in rows
    ]
    return [*lines, table(["check", "attack", "at", "trust", "value", "bound"], cells, right=(4, 5))]


_STRONGER = "an attack as strong or an escalation answers it"
_ANSWERS = {"weaker_than_sample": "the scores count these images"}
"""By check: why a doubt is none for the verdict."""


def _place(row: Mapping[str, Any]) -> str:
    """A norm and a radius, as far as the check is about one."""
    return " ".join([row["norm"] or "", "" if row["eps"] is None else f"{row['eps']:g}"]).strip() or "-"


def _score_table(rows: Sequence[Mapping[str, Any]]) -> str:
    from core.verdict.scoring import SCORES

    lines = []
    for row in sorted(rows, key=lambda row: list(SCORES).index(row["name"])):
        scale = 100.0 if SCORES[row["name"]].percent else 1.0
        values = [number(None if row[key] is None else scale * row[key]) for key in ("value", "low", "high")]
        lines.append([row["name"], *values])
    return table(["score", "value", "low", "high"], lines, right=(1, 2, 3)) + "\n(95 % bootstrap over test samples)"


def _result_table(rows: Sequence[Mapping[str, Any]]) -> str:
    measured = any(row["median_distance"] is not None for row in rows)
    climbed = [bool(row["attack_spec"]["params"].get("after")) for row in rows]
    lines = [
        [
            f"{row['attack']}{'*' if rung else ''}",
            row["norm"],
            "-" if row["eps"] is None else f"{row['eps']:g}",
            percent(row["robust_accuracy"]),
            *([number(row["median_distance"], 3)] if measured else []),
            str(row["samples"]),
            row["trust"] or "-",
            f"{row['forward_passes']:,}",
            f"{row['backward_passes']:,}",
            number(row["seconds"]),
        ]
        for row, rung in zip(rows, climbed, strict=True)
    ]
    extra = ["median"] if measured else []
    headings = ["attack", "norm", "eps", "robust %", *extra, "samples", "trust", "forward", "backward", "seconds"]
    numbers = [index for index, heading in enumerate(headings) if heading not in ("attack", "norm", "trust")]
    note = "\n(* escalation: on what the attacks before left standing, all of them counted)" if any(climbed) else ""
    return table(headings, lines, right=numbers) + note


def _attempts(attempts: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for attempt in attempts:
        end = attempt["exit_kind"] or "under way"
        lines.append(
            f"attempt {attempt['number']} on {attempt['device'] or '?'}, {_when(attempt['started_at'])}: {end}"
        )
        if attempt["reason"]:
            lines.append(f"  {attempt['reason']}")
        lines += _end_of(attempt["traceback"])
    environment = next((attempt["environment"] for attempt in reversed(attempts) if attempt["environment"]), None)
    if environment:
        lines.append(
            "environment   " + ", ".join(f"{key} {value}" for key, value in environment.items() if value is not None)
        )
    return lines


def _end_of(traceback: str | None, count: int = 8) -> list[str]:
    return [f"  | {line}" for line in (traceback or "").strip().splitlines()[-count:]]


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
