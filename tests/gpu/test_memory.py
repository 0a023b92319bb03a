"""What an executor took of the device is given back when it has nothing to do, as while the worker is paused."""

import time

import pytest

from core.events import EpochFinished, Stopped
from tests.gpu.mixed import mixed_jobs
from tests.gpu.trials import carry, lanes_of

SLACK = 100 << 20
IDLE_SECONDS = 30
"""So long it may keep its process: the next trial would find it warm."""


def until_given_back(card, executor, before, seconds):
    """The bytes of the device that are in use when they are no more than `before`, or when the time is over."""
    deadline = time.monotonic() + seconds
    while card.used() > before + SLACK and time.monotonic() < deadline:
        executor.poll(0.2)
    return card.used()


@pytest.mark.gpu(seconds=100)
def test_a_pause_gives_the_device_s_memory_back(card, lanes, cache, tmp_path):
    """NVML counts the same: driver, context and libraries are in it, so the process itself has to go."""
    before = card.used()
    executor = lanes_of(str(card.device), lanes, tmp_path / "children.log")
    asked = set()

    def pause(carried):
        for key in carried.stories:
            if carried.events(key, EpochFinished) and key not in asked:
                asked.add(key)
                executor.cancel(key)

    try:
        begun = carry(executor, mixed_jobs(card, tmp_path, cache), lanes, 60, pause)
        assert any(isinstance(begun.last(key), Stopped) for key in asked)
        held = card.used()
        assert held > before + SLACK, "so nothing could be given back"
        idle = until_given_back(card, executor, before, IDLE_SECONDS if card.real else 0)
    finally:
        executor.close()
    closed = card.used()
    print(*(f"{name} {size / 2**20:.0f} MiB" for name, size in (
        ("before", before), ("at work", held), ("paused", idle), ("closed", closed)
    )), sep=", ", end=" ")  # fmt: skip
    assert closed <= before + SLACK
    if card.real:  # on the CPU the server that forks the children counts too
        assert idle <= before + SLACK
