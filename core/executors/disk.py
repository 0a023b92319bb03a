"""A disk that takes nothing more: neither the trial nor its process is at fault."""

from __future__ import annotations

import errno
from pathlib import Path

from core.events import Crashed


def unwritable(error: OSError, folder: Path) -> Crashed:
    """What the worker must be told, since trying again will not help; `folder` is where the job writes to. Raises `error`
    where it is of another kind."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise error
    return Crashed(f"{error.strerror}: {error.filename or folder}", None, trial_at_fault=False)
