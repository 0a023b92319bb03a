"""The command `innate`: global options, the commands' registration, and the one place where errors become lines.

Nothing heavy is imported here: help answers at once, and each command imports what it needs when it runs.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

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
    merge,
    noting,
    published,
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
from app.terminal import scarce, signals, streams
from app.tui.shell.commands import Command
from core.errors import BadInput, ExitCode, InnateError

_EPILOG = "Start here: innate run quick. A study of your own: innate init study.toml, then innate run study.toml."

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
    home: Annotated[
        str | None, typer.Option(metavar="DIR", help="The folder that holds database, checkpoints and logs.")
    ] = None,
    db: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read this database instead; commands that write refuse it.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print version and revision and leave.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours (NO_COLOR does the same).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="More narration on stderr, such as every epoch.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"innate {_version()}")
        raise typer.Exit
    ctx.obj = Context.of(home, db, colour=not (no_color or os.environ.get("NO_COLOR")), quiet=quiet, verbose=verbose)
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") in streams.PRINTING_TERMINALS:
            typer.echo(ctx.get_help())
            return
        raise typer.Exit(_screens(ctx))


def _version() -> str:
    """The version, and the revision of the source: "0.1.0 (revision 9cf89e7c12, dirty)"."""
    from importlib.metadata import version

    from core.revision import source_revision

    source = source_revision()
    said = (source.git_revision or "unknown")[:10] + (", dirty" if source.git_dirty else "")
    return f"{version('innate')} (revision {said})"


def _screens(ctx: typer.Context) -> int:
    """The screens until they are left; the terminal answers what it is asked while they are imported."""
    from app.tui.shell.ground import Asked
    from core.paths import given

    given(".", "the screens")  # they offer files of the current folder

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


def _first_sentence(text: str) -> str:
    return f"{inspect.cleandoc(text).split('. ')[0].rstrip('.')}."


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
    merge,
    published,
    query,
    guide,
    catalogue,
    doctor,
):
    group.register(app)
for part in (app, *(one.typer_instance for one in app.registered_groups if one.typer_instance is not None)):
    for entry in part.registered_commands:  # else the list of commands cuts what it says of each in the middle
        entry.short_help = _first_sentence(entry.help or entry.callback.__doc__ or "")


def main() -> None:
    """Run, and turn what went wrong into one line and an exit code."""
    streams.begin()
    with signals.raised() as interrupted:
        try:
            scarce.refuse_few_files()
            _refuse_what_is_no_text(sys.argv[1:])
            try:
                app(standalone_mode=True)
            finally:
                sys.stdout.flush()  # what cannot be written is to be found out here, not as Python ends
        except InnateError as error:
            _end(str(error), error.exit_code)
        except KeyboardInterrupt:
            _end("interrupted", ExitCode.INTERRUPTED)
        except streams.ReaderGone:
            sys.exit(int(ExitCode.OK))
        except Exception as error:
            if interrupted():  # in the middle of an import it comes out as something else
                _end("interrupted", ExitCode.INTERRUPTED)
            lacking = scarce.told(error)
            if lacking is None:
                raise
            _end(lacking, ExitCode.UNAVAILABLE)


def _refuse_what_is_no_text(arguments: Sequence[str]) -> None:
    """Bytes that this locale's encoding does not know come through Python as surrogates, which no database and no file takes."""
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError:
            encoding = sys.getfilesystemencoding()
            raise BadInput(f"{argument}: holds bytes that are no text in {encoding}; name it otherwise") from None


def _end(text: str, code: ExitCode) -> NoReturn:
    print(f"innate: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
