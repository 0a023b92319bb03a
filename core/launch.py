"""How every process of this program begins: with its own `app`, `core` and `storage`, whoever else uses these names.

Python takes the first package of a name that lies on its path, and PYTHONPATH, the current directory and the site-packages
of somebody's project may all hold an `app` or a `core`. PYTHONPATH cannot be ignored, since torch and the rest may come from
there. So a finder is asked before the path is, for these three names alone. Nothing can be imported by these names before
that: this file is loaded by its path, as a script for each process that the program starts (`command`) and by the launcher
that `innate` begins in, and needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import runpy
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_ROOT = Path(__file__).absolute().parent.parent
"""The folder that holds the packages: a checkout, or the site-packages of an installed wheel."""
_NAMES = ("app", "core", "storage")
NEEDED_FILES = 32
"""Open at the same time while a command reads; what trains needs more, by its slots."""
_MOST_FILES = 1024
"""As many as `select` can wait for."""
_STANDARD = 2
"""The last of the descriptors that have a meaning from the start."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules as a script, with the interpreter and the environment of this process.

    -P: neither the current directory nor the folder of this file is an import path.
    """
    return [sys.executable, "-P", str(Path(__file__).absolute()), module, *arguments]


class _OwnPackages:
    """A finder for `sys.meta_path`: these names mean the packages beside this file."""

    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(_ROOT)]) if name in _NAMES else None


def hold_standard_streams() -> None:
    """Give what was started without stdin, stdout or stderr the null device there. The numbers 0, 1 and 2 would be those of the
    next files to be opened, the database among them, and what is meant for a terminal would be written into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def allow_files() -> int:
    """How many files this process may have open, at least NEEDED_FILES if it may ask for them: the soft limit is raised as far
    as that takes, and to what a worker with many slots may use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MOST_FILES:
        soft = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def put_own_packages_first() -> None:
    """From now on an import of `app`, `core` or `storage` means ours, also where another was imported already (a `.pth`
    file or a sitecustomize may have done so)."""
    sys.meta_path.insert(0, _OwnPackages())
    for name in [name for name in sys.modules if name.partition(".")[0] in _NAMES]:
        del sys.modules[name]


def overwritten() -> list[Path]:
    """Files of our packages that are gone or are not as long as when they were installed: another wheel has packages of the
    same names, and the later one of two writes its files over the other's, or takes them along when it is uninstalled.
    Empty in a checkout.
    """
    records = [record for record in _ROOT.glob("innate-*.dist-info/RECORD") if record.is_file()]
    # What an older version left behind, where an uninstall was cut short, does not describe these files.
    return min(
        ([file for file, size in _recorded(record) if _size(file) != size] for record in records), key=len, default=[]
    )


def _recorded(record: Path) -> list[tuple[Path, int]]:
    """(file, bytes) of each source file of ours in a RECORD, whose lines are `path,hash,bytes`."""
    entries = (line.rsplit(",", 2) for line in record.read_text(encoding="utf-8").splitlines())
    ours = tuple(f"{name}/" for name in _NAMES)
    return [
        (_ROOT / path, int(size))
        for path, _, size in entries
        if path.startswith(ours) and path.endswith(".py") and size
    ]


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


if __name__ == "__main__":
    put_own_packages_first()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
