"""Which revision of the source this is: git is asked in a checkout; elsewhere the build has left it beside this file.

The build loads this file by its path: it needs the standard library alone.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

_BUILT_FROM = Path("core", "revision.json")
"""What a wheel and an sdist carry; a checkout has no such file."""
_ANOTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""Where a git that runs us (a hook) tells its own repository to every git."""


@dataclass(frozen=True)
class Revision:
    """The commit (40 hex digits) and whether tracked files differ from it; None where nobody knows."""

    git_revision: str | None
    git_dirty: bool | None


_UNKNOWN = Revision(None, None)


@functools.cache
def source_revision() -> Revision:
    """That of the source which this process runs."""
    return revision_of(Path(__file__).resolve().parent.parent)


def revision_of(root: Path) -> Revision:
    """That of the source in a folder: no process is started unless it is a checkout."""
    if (root / ".git").exists():
        return _asked_of_git(root)
    try:
        return Revision(**json.loads((root / _BUILT_FROM).read_bytes()))
    except (OSError, ValueError, TypeError):
        return _UNKNOWN


def leave_behind(revision: Revision, root: Path) -> None:
    """Write it where `revision_of(root)` finds it."""
    (root / _BUILT_FROM).write_text(json.dumps(asdict(revision)) + "\n", encoding="utf-8")


def _asked_of_git(root: Path) -> Revision:
    try:
        said = subprocess.run(
            ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            cwd=root,
            env={name: value for name, value in os.environ.items() if name not in _ANOTHERS},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=True,
        ).stdout.splitlines()
    except (OSError, ValueError, subprocess.SubprocessError):
        return _UNKNOWN
    about = dict(line[2:].split(" ", 1) for line in said if line.startswith("# "))
    commit = about.get("branch.oid", "")
    if not commit.isalnum():  # "(initial)" before the first commit
        return _UNKNOWN
    return Revision(commit, any(not line.startswith("# ") for line in said))
