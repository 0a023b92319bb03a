"""Notes and tags in words, for every front end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.names import short_id

if TYPE_CHECKING:
    from storage.notes import NoteRow
    from storage.rows import TrialRow


def note_text(text: str, tags: Sequence[str]) -> str:
    """A note in a line, tags behind it: "odd curve [keep, ask-ann]"; "" where nothing is noted."""
    return " ".join(part for part in (text, f"[{', '.join(tags)}]" if tags else "") if part)


def note_lines(notes: Sequence[NoteRow], study: str) -> list[tuple[str, str]]:
    """(on what, note) of those in one study: the study's first, then its variant's."""
    return [
        ("study note" if note.variant_id is None else "note", note_text(note.text, note.tags))
        for note in notes
        if note.study == study
    ]


def subject_names(notes: Sequence[NoteRow], trials: Sequence[TrialRow]) -> list[str]:
    """What each note of a study is on: "the study", or a variant as it is called among `trials`."""
    from app.report.variants import labels

    names = labels(trials)
    return [
        "the study" if note.variant_id is None else names.get(note.variant_id, short_id(note.variant_id))
        for note in notes
    ]


def note_command(
    subject: str, text: str | None, add: Sequence[str], drop: Sequence[str], study: str | None = None
) -> str:
    """The command that notes the same; `subject` is a study's name or a trial's id, `study` where that alone does not say it."""
    given = [subject] if text is None else [subject, text]
    flags = [f"--tag {shlex.quote(tag)}" for tag in add] + [f"--untag {shlex.quote(tag)}" for tag in drop]
    within = [] if study is None else [f"--study {shlex.quote(study)}"]
    return " ".join(["innate note", *map(shlex.quote, given), *flags, *within])
