"""What people note on studies and variants: a text and tags, for themselves; no number depends on it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import BadInput, NotFound
from core.names import short_id
from storage.database import transaction
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_LETTERS = 2000
"""Of a note's text."""
_TAG = re.compile(r"\w[\w.:+-]{0,39}")


@dataclass(frozen=True)
class NoteRow:
    """A note; nothing was noted where text and tags are empty."""

    study: str
    variant_id: str | None
    """None for a note on the study itself."""
    text: str
    tags: tuple[str, ...]


def tag_of(text: str) -> str:
    """A tag as it is kept, in small letters. Raises BadInput for what is no word of at most 40 letters, digits and . : + -"""
    if not _TAG.fullmatch(text):
        raise BadInput(
            f"tag {text!r}: write one word of letters, digits and . : + -, at most 40 of them, such as keep or ask-ann"
        )
    return text.lower()


def text_of(text: str) -> str:
    """A note's text as it is kept: in one line. Raises BadInput for a very long one."""
    line = " ".join(text.split())
    if len(line) > MOST_LETTERS:
        raise BadInput(f"note: {len(line):,} letters are too long, at most {MOST_LETTERS:,} are kept")
    return line


def note_on(db: Database, study: str, variant_id: str | None) -> NoteRow:
    """What is noted on a study, or on a variant of it; an empty note where nothing is. Raises NotFound for either unknown."""
    study_row(db, study)
    if variant_id is not None and not _has(db, study, variant_id):
        raise NotFound(f"variant {short_id(variant_id)} is not in study {study}")
    row = db.execute(
        "SELECT text, tags FROM note WHERE study = ? AND coalesce(variant_id, '') = ?", (study, variant_id or "")
    ).fetchone()
    return _row(study, variant_id, *(row or ("", "[]")))


def notes_in(db: Database, study: str) -> list[NoteRow]:
    """All that is noted on a study and on its variants, the study's first. Raises NotFound for an unknown one."""
    study_row(db, study)
    rows = db.execute(
        "SELECT study, variant_id, text, tags FROM note WHERE study = ? ORDER BY variant_id NULLS FIRST", (study,)
    )
    return [_row(*row) for row in rows.fetchall()]


def notes_about(db: Database, trial_id: str) -> list[NoteRow]:
    """What is noted on the studies of a trial and on its variant in them, by study."""
    rows = db.execute(
        "SELECT n.study, n.variant_id, n.text, n.tags FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "JOIN note n ON n.study = st.study AND coalesce(n.variant_id, t.variant_id) = t.variant_id "
        "WHERE st.trial_id = ? ORDER BY n.study, n.variant_id NULLS FIRST",
        (trial_id,),
    )
    return [_row(*row) for row in rows.fetchall()]


def change(
    db: Database,
    study: str,
    variant_id: str | None,
    text: str | None,
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> NoteRow:
    """Note `text` (None: what is there stays, "": no text), add and take off tags; returns the note as it is then.

    Raises NotFound for an unknown study or variant, BadInput for a tag that is no word, a text that is too long, or a tag to
    take off that is not there.
    """
    with transaction(db):
        before = note_on(db, study, variant_id)
        dropped = [tag_of(tag) for tag in drop]
        absent = next((tag for tag in dropped if tag not in before.tags), None)
        if absent is not None:
            there = f"its tags are {', '.join(before.tags)}" if before.tags else "it has none"
            raise BadInput(f"tag {absent!r}: is not there to take off; {there}")
        tags = tuple(dict.fromkeys([*(tag for tag in before.tags if tag not in dropped), *map(tag_of, add)]))
        note = NoteRow(study, variant_id, before.text if text is None else text_of(text), tags)
        db.execute("DELETE FROM note WHERE study = ? AND coalesce(variant_id, '') = ?", (study, variant_id or ""))
        if note.text or note.tags:
            db.execute(
                "INSERT INTO note (study, variant_id, text, tags, changed_at) VALUES (?, ?, ?, ?, ?)",
                (study, variant_id, note.text, json.dumps(tags), time.time()),
            )
        return note


def _row(study: str, variant_id: str | None, text: str, tags: str) -> NoteRow:
    return NoteRow(study, variant_id, text, tuple(json.loads(tags)))


def _has(db: Database, study: str, variant_id: str) -> bool:
    return bool(
        db.execute(
            "SELECT 1 FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? AND t.variant_id = ? LIMIT 1",
            (study, variant_id),
        ).fetchone()
    )
