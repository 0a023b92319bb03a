"""The nets that several tables are measured on, trained once and kept in pytest's cache from one run to the next."""

import os

import pytest

from tests.benchmarks import nets

IMAGES = int(os.environ.get("INNATE_BENCH_IMAGES", "1000"))
"""Test images of the larger tables; fewer for a first look."""


@pytest.fixture(scope="session")
def standard_net(request):
    return nets.trained(nets.STANDARD, request.config.cache.mkdir("innate-benchmark"), IMAGES)


@pytest.fixture(scope="session")
def defended_net(request):
    return nets.trained(nets.DEFENDED, request.config.cache.mkdir("innate-benchmark"), min(IMAGES, 200))
