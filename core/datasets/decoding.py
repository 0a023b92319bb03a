"""Whatever a decoder makes of damaged bytes is one line: no library says beforehand all that it may raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput


@contextmanager
def read_of(path: Path, remedy: str) -> Iterator[None]:
    """Around what decodes `path`: zlib.error, struct.error, EOFError, TypeError and all others become BadInput that names
    the file and says `remedy`. BadInput passes through."""
    try:
        yield
    except BadInput:
        raise
    except MemoryError:
        raise BadInput.at(
            "dataset", f"{path}: needs more memory than there is, or its sizes are damaged; {remedy}"
        ) from None
    except OSError as error:
        # Only what the system raises has a number: gzip's complaint about damaged bytes is an OSError too.
        found = "is damaged" if error.errno is None else f"cannot be read ({error.strerror})"
        raise BadInput.at("dataset", f"{path}: {found}; {remedy}") from None
    except Exception:
        raise BadInput.at("dataset", f"{path}: is damaged or of another format; {remedy}") from None
