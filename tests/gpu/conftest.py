"""The device, an executor with lanes on it, a net to attack, and the sheet that takes what is measured.

A test that needs the device carries the mark `gpu(seconds)`: so long it may take, and all together not longer than
`TOGETHER`. Torch is imported only where such a test runs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WHOLE = os.environ.get("INNATE_GPU_WHOLE") == "1"
TOGETHER = 580 + 600 * WHOLE
"""Seconds of all tests; what has not begun by then is skipped, and what has not ended fails."""
LANES = 32
_ORDER = ["test_bits", "test_captured", "test_table", "test_outcomes", "test_faults", "test_memory", "test_own_code"]
"""The most telling first, should time or the machine run out."""
_PATIENCE = 10
"""Times as long for the CPU where it stands in."""
_begun = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules of this folder in `_ORDER`; all other tests stay where they are."""
    places = [place for place, item in enumerate(items) if Path(item.path).parent == Path(__file__).parent]

    def rank(item: pytest.Item) -> int:
        name = Path(item.path).stem
        return _ORDER.index(name) if name in _ORDER else len(_ORDER)

    ordered = sorted((items[place] for place in places), key=rank)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def card() -> Any:
    """The device under test; skips without CUDA, and in a suite that is spread over processes."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("needs a GPU to itself: make gpu")
    # As in the product's children, and before anything touches CUDA: GPUs by their place, matrix products that repeat.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    from tests.gpu.card import DEVICE, card

    if DEVICE.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a GPU: make gpu")
    found = card(DEVICE)
    if not found.real:
        torch.set_num_threads(1)  # the tests need no more, and two wait for each other where others are at work
    print(f"\n{found.name}, driver {found.driver}; torch {torch.__version__}, CUDA {torch.version.cuda}")
    return found


@pytest.fixture(autouse=True)
def _in_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ends a test with the mark `gpu(seconds)` after that long, or when the time of all is over."""
    mark = request.node.get_closest_marker("gpu")
    if mark is None or not hasattr(signal, "SIGALRM"):
        yield
        return
    patience = 1 if request.getfixturevalue("card").real else _PATIENCE
    left = patience * TOGETHER - (time.monotonic() - _begun)
    if left < 5:
        pytest.skip(f"the {TOGETHER} s that all tests have together were over before this one began")
    allowed = min(patience * float(mark.kwargs["seconds"]), left)

    def end(*_: object) -> None:
        raise TimeoutError(f"not done after {allowed:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, allowed)
    begun = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.stdout.write(f" ({time.monotonic() - begun:.0f} of {allowed:.0f} s) ")


@pytest.fixture(autouse=True)
def _ordinary_torch(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("gpu") is None:
        yield
        return
    from tests.gpu.card import ordinary_torch

    with ordinary_torch():
        yield


@pytest.fixture(scope="session")
def lanes(card: Any) -> int:
    """As many trials at once as the bars speak of."""
    return int(card.sized(16, 4))


@pytest.fixture(scope="session")
def many(card: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The product's executor with `LANES` lanes, for all tests that do not end its processes."""
    from tests.gpu.trials import lanes_of

    made = lanes_of(str(card.device), LANES, tmp_path_factory.mktemp("many") / "children.log")
    yield made
    made.close()


@pytest.fixture(scope="session")
def net(card: Any, request: pytest.FixtureRequest) -> Any:
    """The paper's net, undefended, trained on the device."""
    from tests.benchmarks import nets
    from tests.gpu.card import ordinary_torch

    small = {"train_samples": 500, "training": {"epochs": 2}}
    folder = request.config.cache.mkdir(f"innate-gpu-{card.device.type}")  # type: ignore[union-attr]
    images = card.sized(10_000 if nets.FULL else 1_000, 24)
    with ordinary_torch():
        return nets.trained({**nets.STANDARD, **card.sized({}, small)}, folder, images, str(card.device))


@pytest.fixture(scope="session")
def sheet(card: Any) -> Iterator[Any]:
    """What the tests measure; printed, and written where `INNATE_GPU_TABLE` says, once all are done."""
    from tests.gpu.sheet import Sheet

    made = Sheet(card)
    yield made
    text = made.text()
    print(f"\n{text}")
    if "INNATE_GPU_TABLE" in os.environ:
        Path(os.environ["INNATE_GPU_TABLE"]).write_text(text + "\n", encoding="utf-8")
