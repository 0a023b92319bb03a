"""What gradient attacks ascend: one number per sample from its logits, larger where the model is closer to a mistake.

z [n, K] are logits, y [n] true labels, t [n] target labels; each function gives [n]. To add one: a function and a line in
LOSSES. Imports torch: for children only.

Of these the cross-entropy alone looks at the size of the logits: a softmax of small ones weighs all wrong classes alike, of
large ones the likeliest alone. A positive factor changes no decision and no robustness, so reported numbers come from the
cross-entropy of `even` logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
"""(logits, y) or (logits, y, t) → [n]."""

_LIFT = 2.0**64
"""What a slope is multiplied by where only its direction counts: products that end below fp32's 1e-38 on their way back
through saturated layers keep their signs. A power of two leaves every other bit as it was."""


_EVEN = 16.0
"""The spread of a sample's clean logits, largest − smallest, at which attacks take the cross-entropy: what networks trained
without a defense have by themselves (7 to 20 on MNIST, 12 to 50 on the digits).

Of 400 images of MNIST stand, after PGD-40 at the ε that breaks about half, on a net whose logits are brought to a spread of 2, 4,
8, 12, 16, 24, 48 and 1,000: relu 202, 176, 153, 141, 138, 135, 140, 148; tanh 192, 183, 170, 173, 172, 174, 177, 185; one trained
by PGD-AT 239, 220, 193, 183, 178, 178, 176, 179; a small CNN so trained 244, 226, 203, 197, 197, 196, 196, 203; saturated
sigmoids, at a smaller ε, 181, 181, 183, 182, 186, 194, 190, 188. With their logits as they are: 141, 170, 185, 207, 182."""


def even(logits: Tensor, usual: tuple[float, float] | None = None) -> Tensor:
    """[n]: the positive factor that brings the spread of each sample's clean logits [n, K] to 16; 1 where all are equal, and
    where they spread over what is `usual`.

    It belongs to the sample, so that an outcome hangs on no neighbour, and undoes any constant that a net is multiplied by.
    Where it is no float, gradients are none or NaN, which attacks count and the trust checks see.
    """
    spread = logits.detach().amax(dim=1) - logits.detach().amin(dim=1)
    as_is = spread <= 0 if usual is None else (spread <= 0) | ((spread >= usual[0]) & (spread <= usual[1]))
    return torch.where(as_is, torch.ones_like(spread), _EVEN / spread)


def log_odds(logits: Tensor, y: Tensor, factor: Tensor | None = None) -> Tensor:
    """d = log(p / (1 − p)) with p the probability of a mistake, 1 − softmax(z)_y; in logits, logsumexp_{j≠y} z_j − z_y. With
    `factor` [n] that of the logits times it.

    The cross-entropy −log softmax(z)_y is softplus(d): both rise along the same direction, and attacks follow the direction
    alone. In fp32 the usual form of the cross-entropy loses its slope at z_y from a margin of about 17 on, where
    1 − softmax(z)_y rounds to 0, and all of it from about 87 on; d has one at any margin, and orders images as the
    cross-entropy does where that is too small for a float.
    """
    if factor is not None:
        logits = logits * factor[:, None]
    true = logits.gather(1, y[:, None]).squeeze(1)
    others: Tensor = logits.scatter(1, y[:, None], float("-inf")).logsumexp(dim=1)
    return others - true


def log_odds_of_clean(logits: Tensor, y: Tensor) -> Tensor:
    """`log_odds` of `even` logits, for the pass that takes in the clean image itself."""
    return log_odds(logits, y, even(logits))


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{i≠y} z_i − z_y (Carlini, Wagner 2017, f₆): above 0 where the model is wrong, with a slope everywhere."""
    true = logits.gather(1, y[:, None]).squeeze(1)
    return logits.scatter(1, y[:, None], float("-inf")).amax(dim=1) - true


def difference(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """z_t − z_y: the margin towards one class."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])).squeeze(1)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """−(z_y − max_{i≠y} z_i) / (z_π1 − z_π3), the difference of logits ratio (Croce, Hein 2020, equation 6).

    Blind to shift and scale of the logits. Needs three classes.
    """
    ranked = logits.topk(3, dim=1).values
    return margin(logits, y) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


def dlr_targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """−(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2) (Croce, Hein 2020, equation 7).

    With three classes there is no fourth logit and the denominator is z_π1 − z_π3; with two the difference stands alone.
    """
    classes = logits.shape[1]
    if classes < 3:
        return difference(logits, y, target)
    ranked = logits.topk(min(4, classes), dim=1).values
    return difference(logits, y, target) / (ranked[:, 0] - ranked[:, 2:].mean(dim=1) + 1e-12)


def usual(logits: Tensor, y: Tensor) -> Tensor:
    """−log softmax(z)_y as libraries compute it, whose slope vanishes in fp32 (see `log_odds`): for figures that others printed,
    to tell what of them that is. It overstates robustness."""
    return torch.nn.functional.cross_entropy(logits, y, reduction="none")


LOSSES: dict[str, Loss] = {"ce": log_odds, "margin": margin, "dlr": dlr, "targeted": dlr_targeted, "usual": usual}
"""By the name that an attack's option `loss` has."""


@functools.cache
def lifted(loss: Loss) -> Loss:
    """`loss` times 2^64: of the same direction, for those who follow nothing else. One object per loss, by which recorded
    passes are told apart."""

    def times(logits: Tensor, *labels: Tensor) -> Tensor:
        return loss(logits, *labels) * _LIFT

    return times
