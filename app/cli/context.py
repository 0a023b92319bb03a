"""The global options of a running command, the study it means, and completion of names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from app.context import Context
from core.errors import BadInput, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database


def context_of(ctx: typer.Context) -> Context:
    """The global options of a running command."""
    context = ctx.find_object(Context)
    assert context is not None, "the root callback sets it"
    return context


def chosen_study(db: Database, study: str | None) -> str | None:
    """`--study`, else the study run last, else None where there is no study. Raises NotFound for an unknown name, BadInput for
    one of candidates alone."""
    from storage.studies import latest_study, study_row
    from storage.tuning import is_companion

    if study is None:
        return latest_study(db)
    study_row(db, study)
    if is_companion(study):
        raise BadInput(
            f"--study {study}: only holds what learning rates are chosen by, and has no results; see innate tuning"
        )
    return study


def study_of_trial(db: Database, trial_id: str, study: str | None) -> str:
    """`--study`, else the study run last that has the trial. Raises NotFound where that, or any, has not."""
    from storage.studies import study_row, study_with, trials_of

    if study is not None:
        study_row(db, study)
    found = study or study_with(db, [trial_id])
    if found is None or trial_id not in (trials_of(db, found) or ()):
        raise NotFound(
            f"trial {short_id(trial_id)} is in no study (innate trials --left lists those)"
            if study is None
            else f"trial {short_id(trial_id)} is not in study {study}"
        )
    return found


def complete_study(incomplete: str) -> list[str]:
    """Study names for the shell."""
    from storage.studies import studies

    try:
        context = Context.of(None, None, colour=False, quiet=True, verbose=False)
        return [row.study for row in studies(context.reading()) if row.study.startswith(incomplete)]
    except Exception:  # completion must never print a traceback into somebody's prompt
        return []


def complete_preset(incomplete: str) -> list[str]:
    """Preset names for the shell."""
    from core.study.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]
