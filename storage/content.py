"""What this home met first under the names of data sets that the program does not know itself: there the name means that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core.datasets import DATASETS

if TYPE_CHECKING:
    from sqlite_utils import Database


def met(db: Database) -> dict[str, str]:
    """Name → digest of the decoded arrays."""
    rows = db.execute("SELECT name, digest FROM dataset_content").fetchall()
    return {str(name): str(digest) for name, digest in rows}


def is_told(name: str) -> bool:
    """Whether it is the home that says what stands under the name of this set: the program does not know its real content."""
    entry = DATASETS.get(name)
    return entry is not None and entry.digest is None


def remember(db: Database, identity: str, digest: str | None) -> None:
    """The content behind the bare name of a set, unless one is known. In the transaction of the owner of the home."""
    if digest is None or not is_told(identity):
        return
    db.execute(
        "INSERT OR IGNORE INTO dataset_content (name, digest, met_at) VALUES (?, ?, ?)", (identity, digest, time.time())
    )
