"""Folders for a child that no home is needed for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import Unavailable


@contextmanager
def log_folder() -> Iterator[Path]:
    """For the child's log: a home that does not exist yet is not made for what may come to nothing, so it lies elsewhere. It
    stays where it can say what went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="innate-"))
    try:
        yield folder
    except Unavailable:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
