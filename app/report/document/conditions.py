"""On what it ran, from which file, and how to have it again: the sections after the findings."""

from __future__ import annotations

import json

from app.report.document.material import Material
from app.report.document.record import Code, Section, Table, Text
from app.report.toml import toml_text
from core.names import short_id
from storage.reading import Json


def environment(of: Material) -> Section:
    """Every value that attempts recorded, the most frequent environment first."""
    if not of.environments:
        return Section("Environment", (Text("No attempt recorded what it ran on."),))
    keys = dict.fromkeys(key for one in of.environments for key in one.environment)
    rows = []
    for key in keys:
        values = dict.fromkeys(_value(one.environment.get(key)) for one in of.environments)
        if set(values) != {"-"}:
            rows.append((key, "; ".join(values)))
    attempts = sum(one.attempts for one in of.environments)
    several = len(of.environments)
    caption = (
        f"{attempts} attempts, all in the same environment."
        if several == 1
        else f"{attempts} attempts in {several} environments; where values differ, all are named."
    )
    return Section("Environment", (Table(caption, ("what", "value"), tuple(rows)),))


def _value(value: Json) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def study_file(of: Material) -> Section:
    """As it was submitted; it can be run as it stands."""
    return Section("Study file", (Code(toml_text(of.document), "toml"),))


def commands(of: Material) -> Section:
    """What gives every number above again; the study file is the one above."""
    lines = [
        f"innate run {of.name}.toml",
        f"innate results --study {of.name}",
        *(f"innate results --study {of.name} --by {factor} --score worst_case" for factor in of.factors),
        f"innate chart curves --study {of.name}",
        f"innate findings --study {of.name}",
        f"innate report {of.name} -o {of.name}.html",
    ]
    trained = {trial.trial_id for trial in of.trials if trial.training is not None and trial.final_digest is not None}
    order = {row.variant_id: place for place, row in enumerate(of.board)}
    best = min(
        (one for one in of.scored if one.trial_id in trained), key=lambda one: order[one.variant_id], default=None
    )
    about = "Save the study file above, and run it: what is trained and attacked already is not done again."
    if best is not None:
        lines.append(f"innate reproduce {short_id(best.trial_id)}")
        about += " The last command trains one model anew and compares it with the stored one, bit by bit."
    return Section(
        "To reproduce",
        (
            Text(about),
            Code("\n".join(lines), "sh"),
        ),
    )
