"""Step sizes of iterative attacks and defenses: a number of pixels, or a share of ε such as "eps/4"."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from torch import Tensor


@overload
def step_size(alpha: float | str, eps: float) -> float: ...
@overload
def step_size(alpha: float | str, eps: float | Tensor) -> float | Tensor: ...
def step_size(alpha: float | str, eps: float | Tensor) -> float | Tensor:
    """`alpha` in pixel units at radius `eps`: one number, or one per sample."""
    if isinstance(alpha, str):
        return eps / float(alpha.removeprefix("eps/"))
    return alpha
