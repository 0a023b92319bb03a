"""How far a running trial is, in words: the same ones in the command line, in its JSON and on every screen."""

from __future__ import annotations

from collections.abc import Sequence

from storage.worker_state import AttackPhase, Phase, TrainedPhase, TrainingPhase

_EPOCHS_TO_LEARN = 3
_HARDLY = 0.1


def phase_name(phase: Phase | None) -> str:
    """Such as "loading", "epoch 3/5", "trained", "pgd ε=0.1"; "starting" before the worker has told of it."""
    match phase:
        case None:
            return "starting"
        case TrainingPhase(epoch, epochs):
            return f"epoch {epoch}/{epochs}"
        case TrainedPhase():
            return "trained"
        case AttackPhase(attack=attack, eps=eps):
            return attack if eps is None else f"{attack} ε={eps:g}"
    return "loading"


def learns_nothing(accuracies: Sequence[float], classes: int) -> bool:
    """Whether a model that was trained for three epochs or more still guesses: its accuracy on the training images at the end of
    each epoch, corrected for chance, was never above a tenth."""
    return len(accuracies) >= _EPOCHS_TO_LEARN and guesses(max(accuracies), classes)


def guesses(accuracy: float, classes: int) -> bool:
    """Whether an accuracy, corrected for chance, is below a tenth: nothing was learned."""
    guessing = 1.0 / classes
    return accuracy < guessing + _HARDLY * (1.0 - guessing)


def phase_figures(phase: Phase | None) -> str:
    """Such as "loss 0.123 acc 97.1%" or "12/60 survive"; "" where there is nothing to count."""
    match phase:
        case TrainingPhase(loss=loss, accuracy=accuracy):
            return f"loss {loss:.3f} acc {accuracy:.1%}"
        case AttackPhase(survivors=survivors, total=total):
            return f"{survivors}/{total} survive"
    return ""
