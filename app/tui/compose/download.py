"""Downloading a data set beside the screens: a child process, since the progress bar of the download would be drawn all
over them, and so that leaving them ends it. Run as a script, its arguments are DATASET ROOT.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core import launch
from core.errors import ExitCode, InnateError


class Download:
    """At most one at a time; `end` stops it from another thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, dataset: str, root: Path, report: Callable[[str], None]) -> None:
        """Fetch `dataset` into `root` unless it is there; `report` hears what goes on. Raises InnateError."""
        process = self._process = subprocess.Popen(
            launch.command("app.tui.compose.download", dataset, str(root)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        said = ""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                said = line.strip()
                report(said)
        code = process.wait()
        self._process = None
        if code != 0:
            error = InnateError(said or f"downloading {dataset} ended early; submit again to try again")
            error.exit_code = ExitCode.UNAVAILABLE
            raise error

    def end(self) -> None:
        """Stop what is under way; what was downloaded so far is removed."""
        process = self._process
        if process is not None:
            process.terminate()


def main(dataset: str, root: str) -> int:
    from core import datasets

    def ended(*_: object) -> None:
        raise KeyboardInterrupt  # so that the download's own child is ended and its folder removed

    signal.signal(signal.SIGTERM, ended)
    try:
        datasets.fetch(datasets.parse_source(dataset, Path("/")), Path(root), lambda text: print(text, flush=True))
    except InnateError as error:
        print(error, flush=True)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
