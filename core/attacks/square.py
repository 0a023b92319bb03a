"""The Square attack: random search with squares, from the logits alone."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine.attack import Attack, kind_of, restarts
from core.engine.geometry import lengths, per_sample, project, uniform, uniform_of
from core.identity import stream_seed
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.recorded import Number, Shared
    from core.engine.standing import Outcome
    from core.engine.victim import Victim

_SHRINK = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the share of the image that a square covers is halved (section 5, 10 to 8,000 of
10,000)."""


@dataclass(frozen=True)
class _Search:
    """`keys` are those of the draws of each query, where they must lie on the device."""

    best: Tensor
    lowest: Tensor
    samples: Tensor
    keys: Shared | None


def square(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, restart: int, eps: float | Tensor, attack: AttackSpec
) -> Outcome:
    """A square of a random place and colour is put on the image at every query and kept where it lowers the margin
    (Andriushchenko et al. 2020, algorithm 1; for linf algorithm 2, for l2 algorithm 3).

    Places and colours belong to the sample, so that neighbours share no luck.
    """
    import torch

    from core.engine.losses import margin
    from core.engine.recorded import Shared, picked
    from core.engine.standing import Rows, Seen, Standing, Step

    params, norm = attack.params, attack.norm
    queries, side = params["queries"], min(x.shape[2:])
    stream = f"square-{restart}"

    def asked(size: int) -> Step[_Search]:
        def step(rows: Rows, state: _Search, query: Number) -> tuple[_Search, Seen]:
            if isinstance(query, torch.Tensor):
                assert state.keys is not None
                key: int | Tensor = picked(state.keys.values, query)
            else:
                key = stream_seed(attack.seed, stream, query)
            drawn = uniform_of(key, state.samples, 5 + rows.x.shape[1])
            if norm == "linf":
                tried = _coloured(state.best, rows.x, rows.eps, drawn, min(size, side))
            else:
                odd = max(3, size + 1 - size % 2)
                tried = _moved(state.best, rows.x, rows.eps, drawn, min(odd, side - 1 + side % 2))
            logits = victim.logits(tried)
            height = margin(logits, rows.y)
            better = height > state.lowest
            lowest = torch.where(better, height, state.lowest)
            best = torch.where(per_sample(better, tried), tried, state.best)
            return _Search(best, lowest, state.samples, state.keys), Seen(tried, logits)

        return step

    wide = per_sample(eps, x)
    stripes, tiles = _stripes(attack.seed, samples, stream, x), _tiles(attack.seed, samples, stream, x)
    best = (x + wide * (stripes if norm == "linf" else tiles)).clamp(0.0, 1.0)
    best = project(best, x, eps, norm)
    standing = Standing(victim, x, y, eps, norm, queries - 1)
    logits = victim.logits(best)
    keys = None
    if victim.recordings(x.device) is not None:
        keys = Shared(torch.tensor(_keys(attack.seed, stream, queries), device=x.device))
    state = _Search(best, margin(logits, y), samples, keys)
    state = standing.judge(state, best, logits)
    for size, until in _sizes(params["p"], queries, x.shape[2] * x.shape[3]):
        state = standing.carry_out(asked(size), state, until, (*kind_of(attack), size))
    return standing.outcome(state.best)


@functools.lru_cache(maxsize=8)
def _keys(seed: int, stream: str, queries: int) -> list[int]:
    return [stream_seed(seed, stream, query) for query in range(queries)]


@functools.lru_cache(maxsize=64)
def _sizes(p: float, queries: int, pixels: int) -> tuple[tuple[int, int], ...]:
    """(side of the square, the first query after those that use it), in order."""
    sides = [max(1, round(math.sqrt(_covered(p, query / queries) * pixels))) for query in range(1, queries)]
    return tuple((side, query + 1) for query, side in enumerate(sides, 1) if sides[query : query + 1] != [side])


def _covered(p: float, share: float) -> float:
    """The share of the image that a square covers, `share` of the queries having been spent."""
    return p / 2.0 ** sum(share > bound for bound in _SHRINK)


def _stripes(seed: int, samples: Tensor, stream: str, x: Tensor) -> Tensor:
    """Vertical stripes of ±1, one pixel wide, each colour by itself."""
    channels, width = x.shape[1], x.shape[3]
    drawn = uniform(seed, samples, 0, channels * width, stream)
    return ((drawn < 0.5).to(x.dtype) * 2 - 1).view(len(x), channels, 1, width).expand_as(x)


def _tiles(seed: int, samples: Tensor, stream: str, x: Tensor) -> Tensor:
    """The image covered with bumps of random sign, of Euclidean length 1."""
    channels, height, width = x.shape[1:]
    tile = max(2, min(height, width) // 5)
    down, across = -(-height // tile), -(-width // tile)
    drawn = uniform(seed, samples, 0, channels * down * across, stream)
    signs = ((drawn < 0.5).to(x.dtype) * 2 - 1).view(len(x), channels, down, across)
    bump = _bump(tile, x)
    field = (signs[..., :, None, :, None] * bump[:, None, :]).reshape(len(x), channels, down * tile, across * tile)
    field = field[..., :height, :width]
    return field / per_sample(lengths(field, "l2").clamp_min(1e-12), x)


def _coloured(best: Tensor, x: Tensor, eps: float | Tensor, drawn: Tensor, size: int) -> Tensor:
    """A square of side `size` set to x ± ε, one sign for each channel."""
    import torch

    height, width = x.shape[2:]
    top, left = _place(drawn[:, 0], height - size + 1), _place(drawn[:, 1], width - size + 1)
    inside = _window(top, size, height)[:, None, :, None] & _window(left, size, width)[:, None, None, :]
    signs = (drawn[:, 5:] < 0.5).to(x.dtype) * 2 - 1
    return torch.where(inside, project(x + per_sample(eps, x) * signs[:, :, None, None], x, eps, "linf"), best)


def _moved(best: Tensor, x: Tensor, eps: float | Tensor, drawn: Tensor, size: int) -> Tensor:
    """The perturbation of one square goes to another, with a bump on top and all that the ball still allows."""
    import torch

    channels = x.shape[1]
    delta = best - x
    here = _square_at(drawn[:, 0], drawn[:, 1], size, x)
    there = _square_at(drawn[:, 2], drawn[:, 3], size, x)
    union = (here[0] & here[1])[:, None] | (there[0] & there[1])[:, None]
    spent = (delta * ~union).flatten(1).norm(dim=1)
    room = (eps**2 - spent**2).clamp_min(0.0)
    signs = (drawn[:, 5:] < 0.5).to(x.dtype) * 2 - 1
    window = _gather(delta, here[2], here[3], size)
    upright = _bump(size, x)
    bump = torch.where((drawn[:, 4] < 0.5)[:, None, None, None], upright, upright.t()) * signs[:, :, None, None]
    fresh = window / per_sample(lengths(window, "l2").clamp_min(1e-12), x) + bump
    fresh = (
        fresh * per_sample((room / channels).sqrt(), x) / fresh.flatten(2).norm(dim=2).clamp_min(1e-12)[..., None, None]
    )
    moved = delta * ~(there[0] & there[1])[:, None]
    moved = _scatter(moved, fresh, here[2], here[3])
    return project(x + moved, x, eps, "l2")


def _square_at(first: Tensor, second: Tensor, size: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    height, width = x.shape[2:]
    top, left = _place(first, height - size + 1), _place(second, width - size + 1)
    return _window(top, size, height)[:, :, None], _window(left, size, width)[:, None, :], top, left


def _place(drawn: Tensor, places: int) -> Tensor:
    """A whole number below `places` from a draw in [0, 1)."""
    import torch

    return (drawn * places).to(torch.int64).clamp_max(places - 1)


def _window(first: Tensor, size: int, length: int) -> Tensor:
    """[n, length] bool: whether a position lies in `size` positions from `first`."""
    import torch

    at = torch.arange(length, device=first.device)[None]
    return (at >= first[:, None]) & (at < first[:, None] + size)


def _indices(top: Tensor, left: Tensor, size: int) -> tuple[Tensor, Tensor]:
    import torch

    steps = torch.arange(size, device=top.device)
    return (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]


def _gather(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """[n, c, size, size]: each sample's own window."""
    import torch

    down, across = _indices(top, left, size)
    return images[torch.arange(len(images), device=images.device)[:, None, None], :, down, across].permute(0, 3, 1, 2)


def _scatter(images: Tensor, window: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """`images` with each sample's own window replaced."""
    import torch

    down, across = _indices(top, left, window.shape[-1])
    out = images.clone()
    out[torch.arange(len(images), device=images.device)[:, None, None], :, down, across] = window.permute(0, 2, 3, 1)
    return out


def _bump(size: int, x: Tensor) -> Tensor:
    """[size, size], of length 1: two peaks of opposite sign, one above the other (η, equation 2 and its figure)."""
    import torch

    half = size // 2
    field = torch.cat([_peak(half, size, x), -_peak(size - half, size, x)]) if half else _peak(1, 1, x)
    unit: Tensor = field / field.norm()
    return unit


def _peak(height: int, width: int, x: Tensor) -> Tensor:
    """[height, width]: Σ_{j = d+1}^{n+1} 1/j² at the distance d (of Chebyshev) from the middle."""
    import torch

    reach = max(height, width) // 2
    sums = torch.cat(
        [x.new_zeros(1), (1.0 / torch.arange(1, reach + 2, device=x.device, dtype=x.dtype) ** 2).cumsum(0)]
    )
    down = (torch.arange(height, device=x.device) - height // 2).abs()
    across = (torch.arange(width, device=x.device) - width // 2).abs()
    return sums[reach + 1] - sums[torch.maximum(down[:, None], across[None, :])]


ENTRY = Attack(
    "square",
    "random search with squares: needs no gradient, so masked gradients do not help against it",
    "Andriushchenko et al. 2020",
    (
        Parameter("queries", "int", 5000, "logits asked for, at most", low=1),
        Parameter(
            "p", "float", 0.8, "share of the image that the first squares cover", low=0.0, high=1.0, open_low=True
        ),
        restarts(1, "searches with other squares, on those that still stand"),
    ),
    iterate=square,
    black_box=True,
)
