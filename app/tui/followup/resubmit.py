"""Editing the configuration of a run and submitting that: Compose goes on with a study of the one run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from app.tui.shell.page import Page
from app.tui.shell.session import Beginning
from core.names import short_id
from storage.tuning import study_of

if TYPE_CHECKING:
    from sqlite_utils import Database


def resubmit(page: Page, study: str, trial_id: str) -> None:
    """Have Compose begin with this one run of `study`; what it was composing before comes back with u."""

    def found(db: Database) -> dict[str, Any]:
        from app.report.resubmission import resubmission

        return resubmission(db, study, trial_id)

    def begin(document: dict[str, Any]) -> None:
        submit, undo = (
            page.session.own.key(f"compose.{name}", usual) for name, usual in (("submit", "S"), ("undo", "u"))
        )
        told = (
            f"{short_id(trial_id)} of {study}, to edit; {submit} submits it as {document['name']}, {undo} takes it back"
        )
        page.session.beginning = Beginning(document, None, told)
        page.go_to("compose")

    page.ask(found, begin)


def resubmit_command(study: str, trial_id: str) -> str:
    """The same from the command line."""
    file = f"{study_of(study)}-edited.toml"
    name, of = shlex.quote(file), shlex.quote(study)
    return f"innate init {name} --from {short_id(trial_id)} --study {of} && innate run {name} --detach"
