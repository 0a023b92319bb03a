"""Records as storage gives them, of which a test names only what it is about."""

from __future__ import annotations

from dataclasses import fields

from storage.rows import TransferResult, TrialRow


def trial_row(**known):
    """A done trial of the study "tiny"."""
    usual = {"study": "tiny", "trial_id": "t", "variant_id": "v", "dataset": "digits", "architecture": "mlp",
             "optimizer": "adam", "activation": "relu", "defense": "none", "seed": 0, "state": "done", "attempts": 1,
             "priority": 0, "position": 0, "trust": "ok"}  # fmt: skip
    return TrialRow(**{field.name: None for field in fields(TrialRow)} | usual | known)


def transfer_result(source, target, rate):
    """The images of one trial tried on another, with the share of them that fool it."""
    nothing = {field.name: None for field in fields(TransferResult)}
    return TransferResult(**nothing | {"source_id": source, "target_id": target, "transfer_rate": rate})
