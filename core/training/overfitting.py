"""Catastrophic overfitting, read off the epochs of a training (Wong et al. 2020, section 5.4). Torch-free.

A model can learn to resist the very attack it is trained on and nothing else: right on its own adversarial images, and
broken by a few more steps at the same radius.
"""

from __future__ import annotations

from collections.abc import Sequence

GAP = 0.5
"""Between the accuracy in training and under the probe. PGD-AT on 200 colour images comes close (54 % against 6 %): what
is learned by heart altogether looks the same."""
SHARE = 0.25
"""Of the accuracy in training: a robust model that knows few images by heart keeps more of it on others (Rice et al. 2020),
one that collapsed hardly anything."""
FALL = 0.2
"""From the best earlier probe; more than the noise of two probes of 128 images."""


def overfitting(
    accuracy: Sequence[float], probe_accuracy: Sequence[float | None], *, clean_share: float = 0.0
) -> str | None:
    """The reason why the last epoch shows catastrophic overfitting, in a line; None if it does not or nobody looked.

    `accuracy` and `probe_accuracy` hold the epochs from the first on, as fractions: on the images trained on, and of
    held-out images under PGD at the defense's own radius. `clean_share` of the training images were left clean.
    """
    if not accuracy or not _shown(accuracy, probe_accuracy, clean_share):
        return None
    last = len(accuracy)
    first = last
    while first > 1 and _shown(accuracy[: first - 1], probe_accuracy[: first - 1], clean_share):
        first -= 1
    since = f"in epoch {last}" if first == last else f"since epoch {first}; in epoch {last}"
    own = "its own training images" if clean_share == 0 else "its own adversarial training images, at the least"
    return (
        f"catastrophic overfitting {since}: {_crafted(accuracy[-1], clean_share):.1%} on {own}, "
        f"{probe_accuracy[-1]:.1%} under PGD at the same radius"
    )


def _shown(accuracy: Sequence[float], probe_accuracy: Sequence[float | None], clean_share: float) -> bool:
    probe = probe_accuracy[-1]
    if probe is None:
        return False
    own = _crafted(accuracy[-1], clean_share)
    gap = own - probe
    best = max((earlier for earlier in probe_accuracy[:-1] if earlier is not None), default=probe)
    # A model that fell apart altogether is no longer right on its own images either; hence the gap in both.
    fell = best - probe > FALL and probe < best / 2
    return (gap > GAP and probe < SHARE * own) or (fell and gap > FALL)


def _crafted(accuracy: float, clean_share: float) -> float:
    """The least accuracy on the adversarial part of the training images: as if every clean one were right."""
    return max(0.0, (accuracy - clean_share) / (1.0 - clean_share))
