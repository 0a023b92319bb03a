"""The code of these tests itself, on the CPU and in the ordinary suite, so that it is still good when a GPU is at hand."""

import numpy as np
import pytest
import torch

from core.events import EpochFinished, EpochRecord, Finished, Started, TrainingProgress
from tests.gpu.card import Card, card, ordinary_torch
from tests.gpu.rates import Span, gap, together
from tests.gpu.sheet import Sheet
from tests.gpu.training import Training, images_of, lanes_rate
from tests.gpu.trials import Told, lanes_of


def test_a_rate_counts_only_while_all_are_at_work():
    """The first epochs, with what happens once, and the tail of the slowest are left out: from 3 s to 6 s."""
    swift = [Span("swift", ended, 2.0, 100) for ended in (2.0, 4.0, 6.0)]
    slow = [Span("slow", ended, 3.0, 60) for ended in (3.0, 6.0, 9.0)]
    assert together(swift + slow) == pytest.approx((50 + 100 + 60) / 3)
    assert together(list(reversed(swift + slow))) == pytest.approx(70)


def test_a_rate_of_trials_that_never_met_is_that_of_all_the_time():
    first, second = [Span("first", 2.0, 2.0, 100)], [Span("second", 5.0, 2.0, 100)]
    assert together(first + second) == pytest.approx(200 / 5)
    assert together(first) == pytest.approx(50)


def record(seconds):
    return EpochRecord(1, 0.5, 0.5, None, 0.01, seconds)


def test_a_gap_ends_with_the_first_step():
    before = [Told(9.0, Started({}, 1, None)), Told(10.0, Finished())]
    whole = [Told(10.5, Started({}, 1, None)), Told(13.0, EpochFinished(record(2.0)))]
    assert gap(before, whole, 100) == pytest.approx(1.0)
    # 50 batches of 100 at 10,000 a second: half a second ago.
    told = [whole[0], Told(11.25, TrainingProgress(1, 1, 50, 100, 0.5, 0.5, 10_000.0)), whole[1]]
    assert gap(before, told, 100) == pytest.approx(0.75)
    with pytest.raises(AssertionError, match="never trained"):
        gap(before, [whole[0]], 100)


def test_the_bars_are_those_of_cards_that_they_were_set_for():
    device = torch.device("cuda", 0)
    set_for, other = (Sheet(Card(device, name, "1")) for name in ("NVIDIA H100 80GB HBM3", "NVIDIA L4"))
    assert set_for.bar("speed", 3.0, 2.0) is None
    assert set_for.bar("speed", 1.0, 2.0) == "speed: 1, asked ≥ 2"
    assert set_for.bar("wait", 1.0, 2.0, most=True) is None
    assert set_for.bar("wait", 3.0, 2.0, most=True) == "wait: 3, asked ≤ 2"
    assert other.bar("speed", 1.0, 2.0) is None
    assert [row[-1] for row in set_for.rows["bars"]] == ["held", "missed", "held", "missed"]
    assert [row[-1] for row in other.rows["bars"]] == ["no bar for this card"]


def test_one_row_of_the_table_on_the_cpu(cache, tmp_path):
    """The plain loop, the product in two lanes, the matrix product, and the text that they come to."""
    here = card("cpu")
    sheet = Sheet(here)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (256, 1, 28, 28), dtype=np.uint8))
    document = {
        "dataset": "digits", "seeds": 2, "train_samples": 100, "test_samples": 50, "training": {"epochs": 2},
    }  # fmt: skip
    assert images_of(document) == 100
    executor = lanes_of("cpu", 2, tmp_path / "children.log")
    with ordinary_torch():
        torch.set_num_threads(1)
        training = Training(here, sheet, "fp32", images, torch.from_numpy(rng.integers(0, 10, 256)))
        try:
            training.row("2 lanes", lanes_rate(here, executor, document, tmp_path, cache))
        finally:
            executor.close()
    assert sheet.bar("training", training.plain, 1e9) is None
    lines = [line.strip() for line in sheet.text().splitlines()]
    assert here.name in lines[0]
    (plain,) = (line for line in lines if line.startswith("plain loop, eager"))
    (lanes,) = (line for line in lines if line.startswith("2 lanes"))
    assert plain.split()[-1] == "1.00"
    assert float(lanes.split()[-1]) > 0
    assert any("no bar for this card" in line for line in lines)
