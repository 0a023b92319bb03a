"""What a defense's entry holds. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.registry import Parameter

Options = Mapping[str, Any]

if TYPE_CHECKING:
    from torch import Tensor, nn

    Memory = dict[str, Tensor]
    """What a defense keeps from one step to the next; it lies in the checkpoint."""
    Objective = Callable[[nn.Module, Tensor, Tensor, float, Options, Memory], "BatchLoss"]
    """(model, x, y, label smoothing, options, memory) → what this step descends."""


@dataclass(frozen=True)
class BatchLoss:
    """One step: `loss`, a mean over the batch, to descend, and the `logits` [n, classes] whose predictions count as the
    accuracy in training: on the images that the model is trained to get right.

    `afterwards()` is called once the gradients of the loss are there.
    """

    loss: Tensor
    logits: Tensor
    afterwards: Callable[[], None] | None = None


def one_step_each(options: Options) -> int:  # noqa: ARG001
    return 1


def no_gradients(options: Options) -> int:  # noqa: ARG001
    return 0


def first_engine(options: Options) -> int:  # noqa: ARG001
    return 1


def second_engine(options: Options) -> int:  # noqa: ARG001
    """Since images are crafted along a slope of the cross-entropy that does not vanish."""
    return 2


def second_engine_in_l2(options: Options) -> int:
    """Since ℓ2 steps are of full length however small the gradient is."""
    return 2 if options["norm"] == "l2" else 1


def no_memory(x: Tensor, options: Options) -> Memory:  # noqa: ARG001
    return {}


@dataclass(frozen=True)
class Defense:
    """`objective(model, x, y, smoothing, options, memory)` gives what one step descends, for x [n, c, h, w] in [0, 1] and y [n].

    It draws from the global random stream, which training seeds before every step. A defense that attacks has the
    options `eps` and `norm`. `replays(options)` steps in a row take the same batch of data; `remembered(x, options)` is
    the memory to begin with, for batches no larger than x. `engine(options)` is bumped by hand where the same options train
    to other weights than before; while it is 1 a trial's identity does not mention it, so other defenses keep theirs.
    """

    name: str
    summary: str
    source: str
    objective: Objective
    parameters: tuple[Parameter, ...] = ()
    gradients: Callable[[Options], int] = no_gradients
    """(options) → slopes of the loss in an image that are taken to craft it, beside the one that trains."""
    replays: Callable[[Options], int] = one_step_each
    remembered: Callable[[Tensor, Options], Memory] = no_memory
    engine: Callable[[Options], int] = first_engine


NORM = Parameter("norm", "str", "linf", "norm of the ball", choices=("linf", "l2"))
EPS = Parameter("eps", "float", 0.3, "radius", low=0.0, open_low=True, unit="pixels in [0, 1]")
CLEAN_SHARE = Parameter(
    "clean_share",
    "float",
    0.0,
    "share of every batch that is left clean",
    low=0.0,
    high=1.0,
    open_high=True,
    omit_default=True,
)
STEPS = Parameter("steps", "int", 10, "gradient steps", low=1)


def in_steps(options: Options) -> int:
    """One slope for each step of a defense that has the option `steps`."""
    return int(options["steps"])


def alpha(default: str, summary: str = 'step size, a number or "eps/K"') -> Parameter:
    return Parameter(
        "alpha", "float", default, summary, low=0.0, open_low=True, unit="pixels in [0, 1]", step_size=True
    )  # fmt: skip
