"""The rows of one batch that an iterative attack has yet to break: judged after every step, confirmed, and dropped.

Imports torch: for children only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.buckets import whole_buckets
from core.engine.geometry import per_sample
from core.engine.losses import margin
from core.engine.victim import Victim


@dataclass(frozen=True)
class Outcome:
    """How one run of an attack on a batch ended. All are [n], in the order in which the batch came; images like x.

    `found` are the images that broke the model where `broken`, else x; `last` those after the final step, or when the
    row was last in the batch. The rest is what `core.records.Trace` counts.
    """

    broken: Tensor
    found: Tensor
    last: Tensor
    late: Tensor
    moving: Tensor
    unconfirmed: Tensor
    outside: Tensor
    zero_gradients: Tensor
    bad_gradients: Tensor


class Standing:
    """x [m, c, h, w], y [m] and eps (one radius, or [m]) are those of the rows still in the batch; an attack compacts its
    own state with what `judge` returns.

    A row is a candidate where a pass says that the model errs. On the CPU each candidate is confirmed at once, in fp32;
    on a GPU the worst image of each row is kept aside without asking, and confirmed every few steps. Rows that broke
    leave, a bucketful at a time.
    """

    def __init__(self, victim: Victim, x: Tensor, y: Tensor, eps: float | Tensor, norm: str, steps: int) -> None:
        count = len(x)

        def none() -> Tensor:
            return torch.zeros(count, dtype=torch.bool, device=x.device)

        self.x, self.y, self.eps = x, y, eps
        self.left = count
        """Rows not known to be broken."""
        self._victim, self._norm, self._steps = victim, norm, steps
        self._tenth, self._quarter = max(1, steps // 10), max(1, steps // 4)
        self._every = victim.settle_every(x.device)
        self._step = 0
        self._at = torch.arange(count, device=x.device)
        self._alive = ~none()
        self._lowest = x.new_full((count,), float("inf"))
        self._candidate = x
        self._best, self._best_before = x.new_full((count,), float("-inf")), x.new_full((count,), float("-inf"))
        self._broken, self._late, self._unconfirmed, self._outside = none(), none(), none(), none()
        self._zero, self._bad = none(), none()
        self._found, self._last = x.clone(), x.clone()

    def judge(self, adversarial: Tensor, logits: Tensor, gradient: Tensor | None = None) -> Tensor | None:
        """Take in what a pass says of `adversarial` [m, …]; where rows leave, the positions [k] of those that stay.

        The gradient is looked at in the first step only. The pass after the last step is judged like the others.
        """
        if self._step == 0 and gradient is not None:
            flat = gradient.flatten(1)
            self._zero = (flat == 0).all(dim=1)
            self._bad = ~torch.isfinite(flat).all(dim=1)
        height = margin(logits, self.y)
        self._best[self._at] = torch.maximum(self._best[self._at], height)
        if self._step == self._steps - self._quarter:
            self._best_before = self._best.clone()
        closer = (logits.argmax(dim=1) != self.y) & (-height < self._lowest) & self._alive
        first = closer & torch.isinf(self._lowest)  # a row that broke goes on being judged until its bucket leaves
        self._lowest = torch.where(closer, -height, self._lowest)
        self._candidate = torch.where(per_sample(closer, adversarial), adversarial, self._candidate)
        self._late[self._at] = torch.where(first, self._step > self._steps - self._tenth, self._late[self._at])
        self._step += 1
        if self._step % self._every == 0 or self._step > self._steps:
            return self._settle(adversarial)
        return None

    def outcome(self, adversarial: Tensor) -> Outcome:
        """`adversarial` are the rows after the final step."""
        self._last[self._at] = adversarial
        # Margins that would reach 0 within as many steps again, going on as they did in the last quarter.
        gained = (self._best - self._best_before) * (self._steps / self._quarter)
        moving = ~self._broken & torch.isfinite(self._best_before) & (self._best + gained > 0)
        return Outcome(
            self._broken,
            self._found,
            self._last,
            self._late & self._broken,
            moving,
            self._unconfirmed & ~self._broken,
            self._outside & ~self._broken,
            self._zero,
            self._bad,
        )

    def _settle(self, adversarial: Tensor) -> Tensor | None:
        """Confirm the candidates; the one place where a GPU is waited for."""
        pending = torch.nonzero(torch.isfinite(self._lowest) & self._alive).flatten()
        self._victim.check()
        if len(pending) > 0:
            self._confirm(pending)
        keep = whole_buckets(self._alive, self.left) if self.left else None
        if keep is None:
            return None
        self._last[self._at] = adversarial
        self._at, self._alive = self._at[keep], self._alive[keep]
        self.x, self.y, self._lowest = self.x[keep], self.y[keep], self._lowest[keep]
        self._candidate = self._candidate[keep]
        if isinstance(self.eps, Tensor):
            self.eps = self.eps[keep]
        return keep

    def _confirm(self, pending: Tensor) -> None:
        eps = self.eps[pending] if isinstance(self.eps, Tensor) else self.eps
        images = self._candidate[pending]
        confirmed, outside = self._victim.confirm(images, self.x[pending], self.y[pending], eps, self._norm)
        at = self._at[pending]
        self._broken[at] |= confirmed
        self._found[at[confirmed]] = images[confirmed]
        self._outside[at] |= outside
        self._unconfirmed[at] |= ~confirmed & ~outside
        self._lowest[pending[~confirmed]] = float("inf")
        self._alive[pending[confirmed]] = False
        self.left = int(self._alive.sum())
