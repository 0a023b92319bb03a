"""What gradient attacks ascend: one number per sample from its logits, larger where the model is closer to a mistake.

z [n, K] are logits, y [n] true labels, t [n] target labels; each function gives [n]. To add one: a function and a line in
LOSSES. Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Loss = Callable[..., Tensor]
"""(logits, y) or (logits, y, t) → [n]."""


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """−log softmax(z)_y: flat where the model is sure, so that large logits hide its slope."""
    return functional.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{i≠y} z_i − z_y (Carlini, Wagner 2017, f₆): above 0 where the model is wrong, with a slope everywhere."""
    true = logits.gather(1, y[:, None]).squeeze(1)
    return logits.scatter(1, y[:, None], float("-inf")).amax(dim=1) - true


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
    true, wanted = logits.gather(1, y[:, None]).squeeze(1), logits.gather(1, target[:, None]).squeeze(1)
    classes = logits.shape[1]
    if classes < 3:
        return wanted - true
    ranked = logits.topk(min(4, classes), dim=1).values
    return (wanted - true) / (ranked[:, 0] - ranked[:, 2:].mean(dim=1) + 1e-12)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "margin": margin, "dlr": dlr, "targeted": dlr_targeted}
"""By the name that an attack's option `loss` has."""
