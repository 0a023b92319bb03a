"""Audits of one trial as another file tells them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.audit import AuditedRadius, AuditSpec
from core.identity import digest
from core.records.attack import AUDIT_DEPTHS
from storage.merge.checked_attack import attack_from, text_list
from storage.merge.opened import Other
from storage.merge.values import (
    COUNT,
    MOMENT,
    NORM,
    SECONDS,
    SHARE,
    Check,
    Unsound,
    address,
    blob,
    flat,
    list_of,
    number,
    one_of,
    optional,
    parsed,
    table_of,
    text,
    whole,
    within,
)

AUDIT: dict[str, Check] = {
    "id": whole(-(2**63), 2**63 - 1),
    "spec_id": address,
    "samples": address,
    "norm": NORM,
    "spec": text(100_000),
    "attempt_id": optional(whole(-(2**63), 2**63 - 1)),
    "state": one_of("done", "failed"),
    "reason": optional(text()),
    "traceback": optional(text()),
    "count": optional(COUNT),
    "forward_passes": optional(COUNT),
    "backward_passes": optional(COUNT),
    "seconds": optional(SECONDS),
    "batch_size": optional(COUNT),
    "notes": optional(text_list),
    "runs": optional(text()),
    "finished_at": MOMENT,
}
RADIUS: dict[str, Check] = {
    "eps": number(0.0),
    **dict.fromkeys(("standing", "audited", "fell", "broken", "rounds"), COUNT),
    "attacks": text_list,
    "felled_by": text_list,
}
_SPEC = table_of(
    {
        "norm": NORM,
        "eps": list_of(number(0.0), 1000),
        "samples": whole(1, 10**9),
        "share": SHARE,
        "depth": one_of(*AUDIT_DEPTHS),
        "engine": COUNT,
    }
)
_RUN = table_of({"attack": attack_from, "tried": COUNT, "broke": COUNT})


@dataclass(frozen=True)
class AuditTold:
    """One audit; `fell_at` is as it is stored, None of one that failed."""

    row: dict[str, Any]
    radii: tuple[AuditedRadius, ...]
    fell_at: bytes | None


def audit_spec(text_of: str, spec_id: str) -> AuditSpec:
    """An audit's specification, which must have that id. Raises Unsound."""
    data = parsed(text_of)
    within("spec", _SPEC, data)
    if digest(data) != spec_id:
        raise Unsound(f"audit {spec_id[:10]}: its id is not the hash of what it is")
    return AuditSpec.from_json(data)


def audits_of(other: Other, trial_id: str, counts: Mapping[str, int]) -> Iterator[AuditTold]:
    """Those of one trial, whose clean outcomes count so many samples."""
    for row in other.rows("audit", AUDIT, "WHERE trial_id = ? ORDER BY id", (trial_id,)):
        spec = audit_spec(row["spec"], row["spec_id"])
        if spec.norm != row["norm"]:
            raise Unsound("table audit: its norm is not that of its specification")
        yield within("table audit", lambda one: _audit(other, one, counts), row)


def _audit(other: Other, row: dict[str, Any], counts: Mapping[str, int]) -> AuditTold:
    if row["state"] == "failed":
        return AuditTold(row, (), None)
    count, key = row["count"], (row["id"],)
    if count is None or count != counts.get(row["samples"]):
        raise Unsound("it counts other samples than the clean outcome")
    if any(row[name] is None for name in ("forward_passes", "backward_passes", "seconds", "runs")):
        raise Unsound("it does not say what it did")
    within("runs", list_of(_RUN), parsed(row["runs"]))
    radii = []
    for one in other.rows("audit_radius", RADIUS, "WHERE audit_id = ? ORDER BY eps", key):
        if not one["fell"] <= one["audited"] <= one["standing"] <= count or one["broken"] > count:
            raise Unsound("its counts do not fit")
        radii.append(
            AuditedRadius.from_json(
                {**one, "attacks": json.loads(one["attacks"]), "felled_by": json.loads(one["felled_by"])}
            )
        )
    contents = [cell["fell_at"] for cell in other.rows("audit_content", {"fell_at": blob}, "WHERE audit_id = ?", key)]
    if len(contents) != 1:
        raise Unsound("the radii at which samples fell are missing")
    flat(contents[0], 4 * count, "fell_at")
    fell_at = np.frombuffer(contents[0], "<f4")
    if np.isnan(fell_at).any() or (fell_at < 0).any():
        raise Unsound("fell_at: a radius is negative or no number")
    return AuditTold(row, tuple(radii), contents[0])
