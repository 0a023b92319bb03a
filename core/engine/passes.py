"""How one pass through a model is carried out: the seam behind which each kind of device has its tricks.

Eager everywhere; in a lane that records, a pass is recorded for each of a few sizes of batch and replayed, since small networks
spend most of their time on starting kernels; on the CPU the gradient to the image of a strided first convolution is a matrix
product, since oneDNN has no fast kernel for one to four input channels (the paper's net: 60 ms of 110 at 256 images, against 8).
Imports torch: for children only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.losses import Loss
from core.engine.recorded import NotRecorded, Recordings, Repeated
from core.precision import multiplying_in

Pass = Callable[[Tensor, Loss, tuple[Tensor, ...]], tuple[Tensor, Tensor]]
"""(x, loss, labels) → (∇ₓ of the summed loss, like x; logits [n, K])."""

_FEW_CHANNELS = 4
_EAGER_FIRST = 2
"""Passes of a size before it is recorded: what is asked for once or twice is not worth it."""


def gradient_pass(model: nn.Module, crafting: str, device: torch.device) -> Pass:
    """The eager way to take gradients of `model` on `device`, multiplying in `crafting`, "fp32" or "tf32"."""
    if device.type == "cpu":
        model = with_matrix_input_gradients(model)

    def eager(x: Tensor, loss: Loss, labels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad(), multiplying_in(crafting):
            logits = model(x)
            total = loss(logits, *labels).sum()
            (gradient,) = torch.autograd.grad(total, x)
        return gradient, logits.detach()

    return eager


def replayed(
    recordings: Recordings,
    kind: Hashable,
    sized: Callable[[int], int],
    work: Callable[..., tuple[Tensor, ...]],
    *given: Tensor,
) -> tuple[Tensor, ...]:
    """`work(*given)`, all of it [n, …], `given` padded to `sized(n)` rows and `work` recorded once for that size: of one `kind`,
    the first that is given serves for all. What the lane refuses to record runs eagerly."""
    rows = len(given[0])
    if kind in recordings.refused or rows == 0:
        return work(*given)
    size = sized(rows)

    def begin() -> tuple[tuple[Tensor, ...], Repeated[tuple[Tensor, ...]]]:
        fill = torch.arange(size, device=given[0].device).clamp_max(rows - 1)
        held = tuple(one[fill].contiguous() for one in given)
        return held, Repeated(recordings.lane, lambda: work(*held), _EAGER_FIRST)

    key = (kind, size, *((one.shape[1:], one.dtype) for one in given))
    held, repeated = recordings.keep(key, begin)
    for memory, one in zip(held, given, strict=True):
        memory[:rows].copy_(one)
    try:
        results = repeated()
    except NotRecorded as error:
        recordings.refused[kind] = str(error)
        return work(*given)
    return tuple(one[:rows].clone() for one in results)


def with_matrix_input_gradients(model: nn.Module) -> nn.Module:
    """A copy of `model` whose convolutions of few channels take their input gradient as a matrix product; `model` itself
    if it has none. Weights are copied, so the copy serves only while they stay as they are."""
    chosen = [name for name, module in model.named_modules() if _pays(module)]
    if not chosen:
        return model
    twin = copy.deepcopy(model)
    for name in chosen:
        parent, _, last = name.rpartition(".")
        convolution = twin.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        if not name:
            return _MatrixGradient(convolution)
        setattr(twin.get_submodule(parent), last, _MatrixGradient(convolution))
    return twin


def _pays(module: nn.Module) -> bool:
    """Measured: 7 times as fast for the paper's first layer."""
    return (
        type(module) is nn.Conv2d
        and module.in_channels <= _FEW_CHANNELS
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class _MatrixGradient(nn.Module):
    """A convolution as before in the forward pass."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _FewChannelConvolution.apply(x, self.convolution)
        return out


class _FewChannelConvolution(torch.autograd.Function):
    """∂L/∂x = fold(Wᵀ · ∂L/∂z): the columns that `unfold` would have taken from x, added up where they came from."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: nn.Conv2d) -> Tensor:
        ctx.convolution, ctx.size = convolution, x.shape[2:]
        out: Tensor = convolution(x)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        convolution = ctx.convolution
        (gradient,) = gradients
        columns = torch.matmul(convolution.weight.flatten(1).t(), gradient.flatten(2))
        back = functional.fold(
            columns, ctx.size, convolution.kernel_size, padding=convolution.padding, stride=convolution.stride
        )
        return back, None
