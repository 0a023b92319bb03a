"""How one gradient pass is carried out: the seam behind which each kind of device has its tricks.

Eager everywhere; on CUDA a pass is captured once per shape and replayed as a graph, since small networks spend most of
their time on starting kernels; on the CPU the gradient to the image of a strided first convolution is a matrix product,
since oneDNN has no fast kernel for one to four input channels (the paper's net: 60 ms of 110 at 256 images, against 8).
Imports torch: for children only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.losses import Loss
from core.precision import multiplying_in

Result = tuple[Tensor, Tensor]
"""(∇ₓ of the summed loss, like x; logits [n, K])."""
Pass = Callable[[Tensor, Loss, tuple[Tensor, ...]], Result]
Capture = Callable[[Callable[[], Result]], tuple[Callable[[], None], Result]]
"""Runs some work once and gives (what repeats it on the same memory, its results, which each repetition renews)."""

_FEW_CHANNELS = 4


def gradient_pass(model: nn.Module, crafting: str, device: torch.device, capture: Capture | None = None) -> Pass:
    """The way to take gradients of `model` on `device`, multiplying in `crafting`, "fp32" or "tf32".

    `capture` is how a pass is recorded; CUDA's own where None. A model whose pass cannot be captured runs eagerly.
    """
    if device.type == "cpu":
        model = with_matrix_input_gradients(model)

    def eager(x: Tensor, loss: Loss, labels: tuple[Tensor, ...]) -> Result:
        x = x.detach().requires_grad_()
        with torch.enable_grad(), multiplying_in(crafting):
            logits = model(x)
            total = loss(logits, *labels).sum()
            (gradient,) = torch.autograd.grad(total, x)
        return gradient, logits.detach()

    if capture is None and device.type == "cuda":
        capture = _cuda_capture()
    return eager if capture is None else Replayed(eager, capture)


def bucket(rows: int) -> int:
    """The number of rows that a batch of `rows` is padded to for a captured pass: the power of two at or above it."""
    return max(8, 1 << (rows - 1).bit_length())


@dataclass
class _Recording:
    x: Tensor
    labels: tuple[Tensor, ...]
    replay: Callable[[], None]
    result: Result


class Replayed:
    """A pass recorded once per bucket, image shape, loss and number of labels, and replayed: batches are padded to their
    bucket."""

    def __init__(self, eager: Pass, capture: Capture) -> None:
        self._eager = eager
        self._capture = capture
        self._recordings: dict[Any, _Recording] = {}
        self.gave_up: str | None = None
        """Why passes run eagerly after all; None while recording works."""

    def __call__(self, x: Tensor, loss: Loss, labels: tuple[Tensor, ...]) -> Result:
        if self.gave_up is not None:
            return self._eager(x, loss, labels)
        rows = len(x)
        key = (bucket(rows), x.shape[1:], x.dtype, loss, len(labels))
        recording = self._recordings.get(key)
        if recording is None:
            try:
                recording = self._recordings[key] = self._record(key[0], x, loss, labels)
            except torch.OutOfMemoryError:
                self._recordings.clear()
                raise
            except RuntimeError as error:  # a forward that looks at its data, or an operation that graphs cannot hold
                self.gave_up = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                self._recordings.clear()
                return self._eager(x, loss, labels)
        recording.x[:rows].copy_(x)
        for held, given in zip(recording.labels, labels, strict=True):
            held[:rows].copy_(given)
        recording.replay()
        gradient, logits = recording.result
        return gradient[:rows].clone(), logits[:rows].clone()

    def _record(self, size: int, x: Tensor, loss: Loss, labels: tuple[Tensor, ...]) -> _Recording:
        held_x = x.new_zeros((size, *x.shape[1:]))
        held_labels = tuple(label.new_zeros((size, *label.shape[1:])) for label in labels)
        replay, result = self._capture(lambda: self._eager(held_x, loss, held_labels))
        return _Recording(held_x, held_labels, replay, result)


def _cuda_capture() -> Capture:
    """CUDA graphs, each after the warm-up on a side stream that the documentation of torch.cuda.graphs asks for.

    All share one pool of memory, else each shape would hold activations of its own: their results are copied out before
    the next one is replayed.
    """
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            result = work()
        return graph.replay, result

    return capture


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
