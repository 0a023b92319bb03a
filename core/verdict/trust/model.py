"""Checks of the model itself: what it learned, and whether gradients say anything about it."""

from __future__ import annotations

from collections.abc import Sequence

from core.names import NORM_SIGNS
from core.records.outcome import CleanOutcome, Diagnosis
from core.training.overfitting import overfitting
from core.verdict.trust.entry import Check, Checked, EpochAccuracy, share_check, standard_error, tolerated, words

_ONE_CLASS = 0.95
_FEW = 0.02
"""Images of a sample, or of a test set, that may misbehave without a word: 2 %."""
_SATURATED = 0.9
_NOWHERE = 0.25
_AT_ONE = 0.1

DEGENERATE = Check(
    "degenerate",
    "clean accuracy within 3 standard errors of the most frequent class, or one class for over 95 % of the inputs",
    "the original notebooks, which scored such models as perfectly robust",
    "model",
)
NON_FINITE = Check(
    "non_finite_gradients",
    "some gradient of the loss with respect to the image is NaN or infinite (none may be)",
    "Carlini et al. 2019, section 5.3",
    "model",
)
ZERO = Check(
    "zero_gradients",
    f"the gradient is 0 in every pixel for more than {_FEW:.0%} of a sample: a gradient attack stands still there",
    "Athalye et al. 2018, section 3.1 (shattered gradients)",
    "model",
    masking=True,
)
FLAT_SOFTMAX = Check(
    "flat_softmax",
    f"the true class's probability rounds to 1, and what attacks follow instead of the flat cross-entropy has no slope either, "
    f"for more than {_FEW:.0%} of a sample",
    "Carlini, Wagner 2017, section IV (defensive distillation); Croce, Hein 2020, section 4.1",
    "model",
    masking=True,
)
SATURATED = Check(
    "saturated_units",
    f"over {_SATURATED:.0%} of a layer's bounded activations have under 1 % of their largest slope, and for over "
    f"{_NOWHERE:.0%} of a sample gradients lead nowhere",
    "Glorot, Bengio 2010, section 3",
    "model",
    masking=True,
)
DISTANT = Check(
    "distant_boundary",
    "the margin's gradient puts the boundary farther away than any image is, for over half a sample",
    "Moosavi-Dezfooli et al. 2016, equation 5; Athalye et al. 2018, section 3.1 (vanishing gradients)",
    "model",
    masking=True,
)
AT_ONE = Check(
    "unbounded_attack",
    f"over {_AT_ONE:.0%} of a sample stand at the radius that holds every image, where none can",
    "Athalye et al. 2018, section 3.1; Carlini et al. 2019, section 5.2",
    "model",
    masking=True,
)
SEARCH = Check(
    "search_beats_gradients",
    f"over {_FEW:.0%} of a sample fall to a short random search and not to gradients",
    "Athalye et al. 2018, section 3.1; Andriushchenko et al. 2020",
    "model",
    masking=True,
)
NOISE = Check(
    "noise_beats_gradients",
    f"over {_FEW:.0%} of a sample fall to random noise in the ball and not to gradients",
    "Athalye et al. 2018, section 3.1",
    "model",
    masking=True,
)
UNSTEADY = Check(
    "unsteady_model",
    "the same image gives other logits the second time: something random, such as dropout, was left on",
    "Athalye et al. 2018, section 3.1 (stochastic gradients)",
    "model",
)
OVERFITTING = Check(
    "catastrophic_overfitting",
    "right on the adversarial images it is trained on, broken by a few more steps at the same radius",
    "Wong et al. 2020, section 5.4",
    "model",
)
GUESSED = Check(
    "guessed_import",
    "weights that were trained elsewhere were read in a way that nothing in their file proves: it may be another function",
    "README, Trust",
    "model",
)

CHECKS = (
    DEGENERATE, NON_FINITE, ZERO, FLAT_SOFTMAX, SATURATED, DISTANT, AT_ONE, SEARCH, NOISE, UNSTEADY, OVERFITTING,
    GUESSED,
)  # fmt: skip


def degenerate(clean: CleanOutcome) -> Checked:
    """Whether the model learned anything at all: "invalid" if not, since nothing attacks what does not look at its input."""
    total = len(clean.correct)
    accuracy = float(clean.correct.mean())
    bound = clean.majority_share + 3 * standard_error(clean.majority_share, total)
    reasons = []
    if accuracy <= bound:
        reasons.append(
            f"clean accuracy {accuracy:.1%} is within 3 standard errors of always answering the most frequent class "
            f"({clean.majority_share:.1%})"
        )
    if clean.top_prediction_share > _ONE_CLASS:
        reasons.append(f"one class is predicted for {clean.top_prediction_share:.1%} of the inputs")
    verdict, reason = ("invalid", f"degenerate: {'; '.join(reasons)}") if reasons else ("ok", None)
    return Checked(DEGENERATE.name, verdict, accuracy, bound, reason)


def diagnosed(diagnosis: Diagnosis) -> list[Checked]:
    """What a look at a sample of rightly classified images says; nothing of a model that classifies none rightly."""
    total = diagnosis.images
    if total == 0:
        return []
    norm, eps = diagnosis.norm, diagnosis.eps
    at = f"at {NORM_SIGNS[norm]} ε = {eps:g}"
    return [
        share_check(NON_FINITE.name, diagnosis.bad_gradients, total, 0.0, "on {count} of {total} sampled images"),
        share_check(
            ZERO.name,
            diagnosis.zero_gradients,
            total,
            _FEW,
            "the loss has no slope in any pixel on {count} of {total} sampled images, where a gradient attack stands still",
        ),
        _flat(diagnosis),
        _saturated(diagnosis),
        share_check(
            DISTANT.name,
            diagnosis.distant,
            total,
            0.5,
            "gradients put the boundary beyond every image for {count} of {total} sampled images",
            norm=norm,
        ),
        share_check(
            AT_ONE.name,
            diagnosis.standing_at_one,
            total,
            _AT_ONE,
            "{count} of {total} sampled images stand against gradients at the radius that holds every image, where none can",
            norm=norm,
        ),
        share_check(
            SEARCH.name,
            diagnosis.only_by_search,
            total,
            _FEW,
            f"{{count}} of {{total}} sampled images fall to random search {at}, not to gradients",
            norm=norm,
            eps=eps,
        ),
        share_check(
            NOISE.name,
            diagnosis.only_by_noise,
            total,
            _FEW,
            f"{{count}} of {{total}} sampled images fall to noise {at}, not to gradients",
            norm=norm,
            eps=eps,
        ),
        share_check(
            UNSTEADY.name,
            diagnosis.unsteady,
            total,
            0.0,
            "logits of the same image differ between two passes on {count} of {total} sampled images: is dropout left on?",
        ),
    ]


def guessed(guesses: Sequence[str]) -> Checked | None:
    """What an import rests on but cannot prove; None without any such thing."""
    if not guesses:
        return None
    return Checked(GUESSED.name, "suspect", reason=f"{words(GUESSED.name)}: {'; '.join(guesses)}")


def overfitted(epochs: Sequence[EpochAccuracy], clean_share: float) -> Checked | None:
    """Catastrophic overfitting at the end of training; None where no probe looked."""
    if not epochs or epochs[-1].probe_accuracy is None:
        return None
    reason = overfitting(
        [epoch.accuracy for epoch in epochs], [epoch.probe_accuracy for epoch in epochs], clean_share=clean_share
    )
    gap = epochs[-1].accuracy - epochs[-1].probe_accuracy
    return Checked(OVERFITTING.name, "suspect" if reason else "ok", gap, None, reason)


def _flat(diagnosis: Diagnosis) -> Checked:
    """A softmax that rounds to 1 is no fault while the form of the cross-entropy that attacks follow has a slope; worth
    knowing all the same, since the usual form has none."""
    total = diagnosis.images
    share, bound = diagnosis.flat_softmax / total, tolerated(_FEW, total)
    lost = min(diagnosis.flat_softmax, diagnosis.zero_gradients)
    if share <= bound:
        return Checked(FLAT_SOFTMAX.name, "ok", share, bound)
    reason = (
        f"flat softmax: on {diagnosis.flat_softmax} of {total} sampled images the model is so sure that the usual cross-entropy "
        "has no slope in fp32"
    )
    if lost / total <= bound:
        return Checked(FLAT_SOFTMAX.name, "ok", share, bound, f"{reason}; attacks here take a form that has")
    return Checked(FLAT_SOFTMAX.name, "suspect", share, bound, f"{reason}, and nor has anything else on {lost}")


def _saturated(diagnosis: Diagnosis) -> Checked:
    """Units without slope are how sigmoid and tanh nets work (two thirds of a layer in a healthy one); they are a fault
    where, besides, gradients lead nowhere."""
    lost = max(diagnosis.distant, diagnosis.zero_gradients)
    share = diagnosis.saturated_units
    if share <= _SATURATED or lost <= tolerated(_NOWHERE, diagnosis.images) * diagnosis.images:
        return Checked(SATURATED.name, "ok", share, _SATURATED)
    reason = (
        f"saturated units: {share:.1%} of the units of {diagnosis.saturated_layer} have lost their slope, and gradients lead "
        f"nowhere for {lost} of {diagnosis.images} sampled images"
    )
    return Checked(SATURATED.name, "suspect", share, _SATURATED, reason)
