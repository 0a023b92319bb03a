"""Downloads a named data set through torchvision, in a process of its own, which runs this as a script: NAME DIR.

The parent side makes sure that an answer comes soon without a network, that an interrupted download never looks whole,
and that a root that cannot be written is one clear line.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from core import launch
from core.errors import BadInput, Unavailable

_REACH_SECONDS = 8.0
_STALL_SECONDS = 20.0
"""Socket time-out within a download that has begun."""


def fetch_into(
    root: Path, name: str, host: str, folder: str, *, found: str, remedy: str, report: Callable[[str], None]
) -> None:
    """Download the set that torchvision's class `name` describes, so that `root`/`folder` holds it whole.

    `host` is asked first whether it can be reached; `report` hears when the download begins. Raises Unavailable without
    a network or when the download fails, BadInput for a root that cannot be written. `found` is what is wrong with the
    files that are there, `remedy` where to put which by hand.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=root, prefix=".downloading-"))
    except OSError as error:
        raise BadInput(f"{found}, and {root} cannot be written ({error.strerror}) to download it; {remedy}") from None
    try:
        if not _reachable(host):
            raise Unavailable(f"{found}, and {host} cannot be reached to download it; {remedy}")
        report(f"{found}; downloading from {host} to {root}")
        done = subprocess.run(
            launch.command("core.datasets.download", name, str(building)),
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"{found}, and downloading it from {host} failed; {remedy}")
        # What torchvision put beside (archives) is only of use to it while unpacking.
        target = root / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        (building / folder).rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _reachable(host: str) -> bool:
    """Whether a TCP connection to `host`:443 opens soon; name look-ups have no time-out of their own, so a thread's."""
    reached = threading.Event()

    def knock() -> None:
        with contextlib.suppress(OSError), socket.create_connection((host, 443), timeout=_REACH_SECONDS):
            reached.set()

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(_REACH_SECONDS)
    return reached.is_set()


class _Told(io.TextIOBase):
    """stderr for a progress bar: what cannot be written there is no reason to give the download up."""

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "replace"))
        return len(text)

    def isatty(self) -> bool:
        return os.isatty(2)


def _download(name: str, folder: str) -> None:
    from torchvision import datasets

    socket.setdefaulttimeout(_STALL_SECONDS)
    kind = getattr(datasets, name)
    if name == "SVHN":  # the one set that torchvision does not put into a folder of its own
        for split in ("train", "test"):
            kind(Path(folder) / "svhn", split=split, download=True)
    else:
        kind(folder, download=True)


if __name__ == "__main__":
    sys.stderr = _Told()
    try:
        _download(sys.argv[1], sys.argv[2])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the parent says what to do; the reason goes above its line
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
