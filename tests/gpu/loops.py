"""Plain PyTorch training loops of the paper's net, data on the device: what the product's lanes are held against."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.precision import multiplying_in
from tests.benchmarks.nets import operations
from tests.benchmarks.plain_script import make_model
from tests.gpu.card import Card

BATCH = 128


def plain_rate(card: Card, precision: str, images: Tensor, labels: Tensor, *, graph: bool = False) -> float:
    """Images per second of such a loop, over uint8 images [n, 1, 28, 28] and labels [n] on the device: eager, or with its
    step as one CUDA graph."""
    steps = card.sized(500 if graph else 200, 1)
    torch.manual_seed(0)
    model = make_model(nn.ReLU).to(card.device).train()
    with multiplying_in(precision):
        step = _step(card, model, precision, images, labels, capturable=graph)
        rows = itertools.cycle(torch.randperm(len(labels), device=card.device).split(BATCH)[: len(labels) // BATCH])
        if graph:
            step = _graphed(step, next(rows))

        def train() -> None:
            for _ in range(steps):
                step(next(rows))

        return BATCH * steps / card.best(train, repeats=3)


def training_operations(card: Card, images: Tensor) -> int:
    """Of one image in one step: backward costs two forwards, but for the first layer, which has no gradient to its input."""
    model = make_model(nn.ReLU).to(card.device).eval()
    forward, first = operations(model, images[:8].to(torch.float32) / 255.0)
    return 3 * forward - first


def _step(
    card: Card, model: nn.Module, precision: str, images: Tensor, labels: Tensor, *, capturable: bool
) -> Callable[[Tensor], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **({"capturable": True} if capturable else {}))
    total = torch.zeros((), device=card.device)

    def step(rows: Tensor) -> None:
        x, y = images[rows].to(torch.float32) / 255.0, labels[rows]
        with _short(card, precision):
            loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    return step


@contextlib.contextmanager
def _short(card: Card, precision: str) -> Iterator[None]:
    # Weights that were cast outside of a graph would stay as they were in it.
    with torch.autocast(card.device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
        yield


def _graphed(step: Callable[[Tensor], None], rows: Tensor) -> Callable[[Tensor], None]:
    """As the documentation of torch.cuda.graphs has it."""
    held = rows.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(held)

    def replay(rows: Tensor) -> None:
        held.copy_(rows)
        graph.replay()

    return replay
