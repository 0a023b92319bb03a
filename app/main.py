"""The command `innate`: global options, the commands' registration, and the one place where errors become lines.

Nothing heavy is imported here: help answers at once, and each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli import (
    attack,
    catalogue,
    chart,
    compare,
    doctor,
    examples,
    export,
    findings,
    guide,
    importing,
    noting,
    query,
    queue,
    report,
    reproduce,
    results,
    run,
    studies,
    transfer,
    tuning,
    worker,
)
from app.context import Context
from app.tui.shell.commands import Command
from core.errors import ExitCode, InnateError

_EPILOG = "Start here: innate run quick. A study of your own: innate init study.toml, then innate run study.toml."

_NO_SCREENS = ("dumb", "unknown")
"""Terminals that can only print, by TERM."""

app = typer.Typer(
    name="innate",
    help="A terminal laboratory for innate adversarial robustness of image classifiers.",
    epilog=_EPILOG,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    home: Annotated[Path | None, typer.Option(help="The folder that holds database, checkpoints and logs.")] = None,
    db: Annotated[Path | None, typer.Option(help="Read this database instead; commands that write refuse it.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours (NO_COLOR does the same).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="More narration on stderr, such as every epoch.")
    ] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"innate {version_of('innate')}")
        raise typer.Exit
    ctx.obj = Context.of(home, db, colour=not (no_color or os.environ.get("NO_COLOR")), quiet=quiet, verbose=verbose)
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") in _NO_SCREENS:
            typer.echo(ctx.get_help())
            return
        raise typer.Exit(_screens(ctx))


def _screens(ctx: typer.Context) -> int:
    """The screens until they are left; the terminal answers what it is asked while they are imported."""
    from app.tui.shell.ground import Asked

    with Asked() as asked:
        from app.tui.app import run as run_screens

        return run_screens(ctx.obj, _commands(ctx), asked)


def _commands(ctx: typer.Context) -> list[Command]:
    """Every command by name, with those of its groups, for the screens to offer."""
    found = []
    for name, command in ctx.command.commands.items():  # type: ignore[attr-defined]
        for part, one in getattr(command, "commands", {"": command}).items():
            needs = any(parameter.required for parameter in one.params)
            found.append(Command(f"{name} {part}".strip(), one.get_short_help_str(200), needs))
    return found


for group in (
    run,
    attack,
    importing,
    queue,
    worker,
    results,
    findings,
    chart,
    compare,
    transfer,
    tuning,
    studies,
    noting,
    examples,
    report,
    reproduce,
    export,
    query,
    guide,
    catalogue,
    doctor,
):
    group.register(app)


def main() -> None:
    """Run, and turn what went wrong into one line and an exit code."""
    try:
        app(standalone_mode=True)
    except InnateError as error:
        _say(str(error))
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(int(ExitCode.INTERRUPTED))
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _say(text: str) -> None:
    print(f"innate: {' '.join(text.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
