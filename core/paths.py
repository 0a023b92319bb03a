"""Paths that people give, made whole; what can be no path is one line that names it and where it was given."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import BadInput

_LONGEST = 4096
"""Bytes in a path, as Linux has it."""
_SHOWN = 200
"""Characters of a long path in an error."""


def given(text: str | Path, key: str, base: Path | None = None) -> Path:
    """The absolute path, links followed, that `text` means: "~" is a home folder, and what is relative begins at `base`, else at
    the current folder. Nothing need be there.

    Raises BadInput at `key` (an option, a variable, a study file's key) for what is empty, holds a null character or bytes that
    are no UTF-8, is too long, leads in a circle, or needs a user, a home folder or a current folder that is not there.
    """
    path = str(text)
    shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"

    def refuse(why: str) -> BadInput:
        return BadInput.at(key, f"'{shown}' {why}")

    if not path.strip():
        raise refuse("is empty: give a path, such as ./here")
    if "\0" in path:
        raise refuse("holds a null character, as no path can")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise refuse("holds bytes that are not UTF-8 and cannot be recorded; name it otherwise") from None
    try:
        whole = Path(path).expanduser()
    except RuntimeError:
        raise refuse("begins with ~ and there is no such user, or no home folder") from None
    if base is not None:
        whole = base / whole
    try:
        if not whole.is_absolute():
            whole = Path.cwd() / whole
    except OSError:
        raise refuse("is relative to the current folder, which was deleted; change to another") from None
    try:
        real = whole.resolve()
        real.lstat()
    except RuntimeError:  # since Python 3.13 the look at it tells
        raise refuse("is a link, or lies behind one, that leads in a circle") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # to be made, or to be refused by whoever needs it
    except OSError as error:
        raise refuse(f"can be no path here: {error.strerror}") from None
    if len(os.fsencode(real)) >= _LONGEST:
        raise refuse("is too long for a path")
    return real
