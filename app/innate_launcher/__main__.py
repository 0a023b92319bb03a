"""Finds our packages by where this file lies, puts them before all others of the same names, and runs the command."""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130


def _leave_at_once(*_: object) -> None:
    """Ctrl-C while nothing has begun that could be finished, or all has ended: the imports alone take a while."""
    try:
        os.write(2, b"innate: interrupted\n")
    finally:
        os._exit(_INTERRUPTED)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as under nohup
    signal.signal(signal.SIGINT, _leave_at_once)

from importlib.util import module_from_spec, spec_from_file_location  # noqa: E402 - each takes milliseconds
from pathlib import Path  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import NoReturn  # noqa: E402

_BAD_INSTALLATION = 2


def main() -> None:
    """Run `innate`. Ends with one line and exit code 2 where another package's files lie over ours."""
    launch = launch_module()
    if launch is None:
        _refuse(f"core/launch.py is missing beside {Path(__file__).parent}")
    launch.hold_standard_streams()
    over = launch.overwritten()
    if over:
        files = f"{over[0]} and {len(over) - 1} more files" if over[1:] else str(over[0])
        _refuse(f"another package has overwritten or removed {files}")
    launch.put_own_packages_first()
    from app.main import main as innate

    innate()


def launch_module() -> ModuleType | None:
    """core/launch.py, loaded by its path: installed it lies beside this package, in a checkout beside `app`."""
    for folder in Path(__file__).absolute().parents[1:3]:
        file = folder / "core" / "launch.py"
        spec = spec_from_file_location("innate_launch", file)
        if file.is_file() and spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return None


def _refuse(what: str) -> NoReturn:
    print(
        f"innate: {what}: this installation is broken; install innate again, in an environment of its own",
        file=sys.stderr,
    )
    sys.exit(_BAD_INSTALLATION)


if __name__ == "__main__":
    main()
