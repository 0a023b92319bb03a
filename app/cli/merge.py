"""`merge`: another home's results into this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import context_of
from app.cli.output import emit_document
from app.report.text import percent
from core.errors import BadInput
from core.names import short_id

if TYPE_CHECKING:
    from app.context import Context
    from storage.copies import Copy
    from storage.merge.merging import Merged
    from storage.merge.tally import Conflict
    from storage.merge.weights import Copied

_SHOWN = 5
"""Conflicts that are told one by one."""


def register(app: typer.Typer) -> None:
    app.command(
        "merge",
        epilog="Examples: innate merge results.db; innate merge /scratch/home-1 /scratch/home-2 --checkpoints; "
        "innate merge --conflicts",
    )(merge)


def merge(
    ctx: typer.Context,
    others: Annotated[
        list[Path] | None,
        typer.Argument(help="Databases, or homes, to bring in.", metavar="OTHER", show_default=False),
    ] = None,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", help="Copy the weights that lie beside them, too, where there are none here."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be brought in.")] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="List trials that merged homes had trained to other weights.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Bring the results of other homes into this one: studies, trials, attacks, whatever is not here yet. Twice is as good as
    once. Nothing of this home is replaced: where both trained a trial to other weights, theirs are kept beside."""
    context = context_of(ctx)
    if conflicts:
        if others or checkpoints or dry_run:
            raise BadInput("merge --conflicts: lists what earlier merges found; give it alone")
        _list_conflicts(context, as_json=as_json)
        return
    if not others:
        raise BadInput("merge: name a database to bring in, or a home; innate merge --help shows examples")
    if context.read_only:
        raise BadInput("--db opens a database to read only; merge writes: use --home DIR")
    merged = _merged(context, others, checkpoints=checkpoints, dry=dry_run)
    if as_json:
        emit_document(
            {
                "merge": [_row(one, weights, dry=dry_run) for one, weights in merged],
                "conflicts": [_conflict_row(one, found) for one, _ in merged for found in one.conflicts],
            }
        )


def _merged(
    context: Context, others: Sequence[Path], *, checkpoints: bool, dry: bool
) -> list[tuple[Merged, Copied | None]]:
    from app.cli.progress import one_bar
    from app.worker.merging import merge_in
    from storage.merge.opened import database_of

    found = [database_of(other.expanduser()) for other in others]  # before the first is brought in
    merged = []
    for database in found:
        with one_bar(colour=context.colour, quiet=context.quiet) as advance:
            one, weights = merge_in(
                context.home,
                context.writing,
                database,
                lambda done, total, what: advance(done / max(total, 1), what),
                checkpoints=checkpoints,
                dry=dry,
            )
        _tell(context, one, weights, dry=dry)
        merged.append((one, weights))
    return merged


def _tell(context: Context, one: Merged, weights: Copied | None, *, dry: bool) -> None:
    counts = (
        (one.trials, "trial", "trials"),
        (one.trained, "trial that was untrained here", "trials that were untrained here"),
        (one.evaluations, "evaluation", "evaluations"),
        (one.audits, "audit", "audits"),
        (one.transfers, "transfer", "transfers"),
        (one.notes, "note", "notes"),
        (0 if one.trials else one.attempts, "attempt", "attempts"),
    )
    taken = ", ".join(_counted(*count) for count in counts if count[0])
    verb = "would be brought in" if dry else "brought in"
    if taken or one.changed:
        follows = "what follows" if one.studies or one.conflicts else "what was asked for, or logged, of its trials"
        context.say(f"{one.origin}: {verb}: {taken or follows}")
        if one.known:
            context.say(f"  {_counted(one.known, 'trial is', 'trials are')} here as they are there")
    else:
        context.say(f"{one.origin}: nothing new; {_counted(one.known, 'trial is', 'trials are')} here already")
    if one.studies:
        context.say(f"  {'studies' if len(one.studies) > 1 else 'study'} new here: {', '.join(one.studies)}")
    for theirs, here in one.renamed:
        context.say(f"  study {theirs} has another grid here, so theirs is called {here}")
    if one.differing:
        samples = sum(found.samples for found in one.differing)
        context.say(
            f"  {_counted(len(one.differing), 'evaluation differs', 'evaluations differ')} on "
            f"{_counted(samples, 'sample', 'samples')}, though the weights are the same; this home's stay"
        )
    if one.notes_kept:
        context.say(f"  {_counted(one.notes_kept, 'note says', 'notes say')} otherwise there: this home's are kept")
    _tell_conflicts(context, one.conflicts)
    if weights is not None:
        context.say(
            f"  weights of {_counted(weights.models, 'model', 'models')} copied, {weights.bytes / 2**20:,.1f} MiB"
        )
        for line in weights.left:
            context.say(f"  {line}; its weights were left where they are")


def _tell_conflicts(context: Context, conflicts: Sequence[Conflict]) -> None:
    from app.report.other_weights import environment_text

    if not conflicts:
        return
    known = sum(not found.kept for found in conflicts)
    before = f" ({known:,} known before)" if known else ""
    context.say(f"  {_counted(len(conflicts), 'trial was', 'trials were')} trained to other weights there{before}:")
    for found in conflicts[:_SHOWN]:
        context.say(
            f"    {short_id(found.trial_id)}  here   {short_id(found.own_digest)}  {environment_text(found.own_environment)}"
        )
        context.say(f"{'':>14}  there  {short_id(found.other_digest)}  {environment_text(found.other_environment)}")
    if len(conflicts) > _SHOWN:
        context.say(f"    and {len(conflicts) - _SHOWN:,} more")
    context.say("  This home's own count; theirs are kept beside: innate merge --conflicts, innate show TRIAL")


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _row(one: Merged, weights: Copied | None, *, dry: bool) -> dict[str, Any]:
    return {
        "origin": one.origin,
        "dry_run": dry,
        "changed": one.changed,
        "trials": one.trials,
        "trained": one.trained,
        "attempts": one.attempts,
        "known": one.known,
        "evaluations": one.evaluations,
        "audits": one.audits,
        "transfers": one.transfers,
        "notes": one.notes,
        "notes_kept": one.notes_kept,
        "studies": list(one.studies),
        "renamed": [list(pair) for pair in one.renamed],
        "differing": [vars(found) for found in one.differing],
        "conflicts": len(one.conflicts),
        "weights": None if weights is None else weights.models,
        "weights_left": None if weights is None else list(weights.left),
    }


def _conflict_row(one: Merged, found: Conflict) -> dict[str, Any]:
    own, other = found.own_environment or {}, found.other_environment or {}
    return {
        "trial_id": found.trial_id,
        "origin": one.origin,
        "own_digest": found.own_digest,
        "other_digest": found.other_digest,
        "own_device": own.get("device"),
        "own_torch": own.get("torch"),
        "other_device": other.get("device"),
        "other_torch": other.get("torch"),
        "new": found.kept,
    }


def _list_conflicts(context: Context, *, as_json: bool) -> None:
    from app.report.other_weights import environment_text
    from storage.copies import copies
    from storage.reading import as_json as plain

    found = copies(context.reading())
    if as_json:
        emit_document({"merge": [], "conflicts": [plain(copy) for copy in found]})
        return
    if not found:
        context.say("no conflicts: every merged trial was trained to the same weights as here, or only there")
        return
    for copy in found:
        typer.echo(f"trial {short_id(copy.trial_id)}{_clean_difference(copy)}")
        typer.echo(f"  here   {short_id(copy.own_digest or '-'):<10}  {environment_text(copy.own_environment)}")
        typer.echo(f"  there  {short_id(copy.other_digest):<10}  {environment_text(copy.other_environment)}")
        typer.echo(f"         from {copy.origin}")


def _clean_difference(copy: Copy) -> str:
    """Clean accuracy here and there."""
    clean = next((one for one in copy.results if one.attack is None), None)
    if clean is None:
        return ""
    return f": clean {percent(clean.own_accuracy)} % here, {percent(clean.accuracy)} % there"
