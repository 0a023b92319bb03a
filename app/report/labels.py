"""What to call a trial on screen: only what differs within its study, options only where names do not tell."""

from __future__ import annotations

from collections.abc import Sequence

from app.report.variants import short
from core.records import Choice, Study, TrialSpec


def shown_choice(choice: Choice, among: Sequence[Choice]) -> str:
    """`choice` by name, with the options in which it differs from its namesakes in `among`: "adam lr=0.005"."""
    namesakes = [other for other in among if other.name == choice.name]
    differing = [
        key for key, value in choice.options.items() if any(other.options.get(key) != value for other in namesakes)
    ]
    return " ".join([choice.name, *(f"{key}={short(choice.options[key])}" for key in differing)])


def trial_label(trial: TrialSpec, study: Study) -> str:
    """Such as "adam relu s1": the axes of the study with more than one level; the seed only where there are several."""
    if trial.imported is not None:
        return f"imported {trial.architecture.name} {trial.id[:6]}"
    parts = [
        shown_choice(choice, axis)
        for choice, axis in (
            (trial.architecture, study.architectures),
            (trial.optimizer, study.optimizers),
            (trial.activation, study.activations),
            (trial.defense, study.defenses),
        )
        if choice is not None and len(axis) > 1
    ]
    if len(study.seeds) > 1:
        parts.append(f"s{trial.seed}")
    return " ".join(parts) or trial.architecture.name
