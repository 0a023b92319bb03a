"""Step sizes of iterative attacks and defenses: a number of pixels, or a share of ε such as "eps/4"."""

from __future__ import annotations


def step_size(alpha: float | str, eps: float) -> float:
    """`alpha` in pixel units at radius `eps`."""
    if isinstance(alpha, str):
        return eps / float(alpha.removeprefix("eps/"))
    return alpha
