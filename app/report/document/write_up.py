"""A study as a report: which sections, in which order, and what is to be said before any of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from app.report.document.conditions import commands, environment, study_file
from app.report.document.design import design, question
from app.report.document.material import Material, material
from app.report.document.methods import methods
from app.report.document.record import Report
from app.report.document.reservations import audit_and_trust, limits
from app.report.document.results import results
from app.report.document.tuned import tuning
from app.report.document.verdicts import verdicts
from app.report.missing import waiting_note
from app.report.text import moment

if TYPE_CHECKING:
    from sqlite_utils import Database


def write_up(db: Database, study: str) -> Report:
    """Raises NotFound and BadInput as `material` does."""
    of = material(db, study)
    ledger = tuning(of)
    models = "1 model" if len(of.scored) == 1 else f"{len(of.scored)} models"
    return Report(
        f"{study}: a study of innate robustness",
        f"{models} on {of.row.dataset}, scored at {of.at}; run {moment(of.row.run_at)}",
        tuple(_warnings(of)),
        (
            question(of),
            design(of),
            methods(of),
            results(of),
            audit_and_trust(of),
            verdicts(of),
            *([] if ledger is None else [ledger]),
            limits(of),
            environment(of),
            study_file(of),
            commands(of),
        ),
    )


def _warnings(of: Material) -> list[str]:
    """What is missing of the study as it was submitted."""
    states = Counter(trial.state for trial in of.trials)
    waiting, gone = states["queued"] + states["running"], states["failed"] + states["cancelled"]
    said = []
    if waiting:
        still = "trial is" if waiting == 1 else "trials are"
        said.append(
            f"{waiting} of {len(of.trials)} {still} still to come, so every number below may change; "
            f"innate wait --study {of.name}"
        )
    note = waiting_note(of.db, of.name)
    if note is not None:
        said.append(f"{note}.")
    if gone:
        failed = f"{states['failed']} failed, {states['cancelled']} cancelled"
        said.append(
            f"{gone} of {len(of.trials)} trials have no result ({failed}), and what they would have shown is missing below; "
            f"innate trials --study {of.name} --state failed"
        )
    return said
