"""A trial's weights hang neither on its neighbours, nor on how many they are, nor on having been killed: bit for bit."""

import os
import signal

import pytest

from core.events import EpochFinished, Stopped, TrainingProgress
from tests.gpu.mixed import MIXED, RANDOM, job_of, mixed_jobs
from tests.gpu.trials import again, carry, lanes_of


@pytest.fixture(scope="session")
def alone(card, cache, tmp_path_factory):
    """The digest of each mixed trial that had the device's only lane to itself."""
    folder = tmp_path_factory.mktemp("alone")
    executor = lanes_of(str(card.device), 1, folder / "children.log")
    try:
        return carry(executor, mixed_jobs(card, folder, cache), 1, 90).digests()
    finally:
        executor.close()


@pytest.mark.gpu(seconds=120)
def test_the_same_alone_and_beside_fifteen_others(card, many, lanes, alone, cache, tmp_path):
    assert len(alone) == lanes
    beside = carry(many, mixed_jobs(card, tmp_path, cache), lanes, 60)
    assert beside.digests() == alone
    assert beside.crashes == 0
    assert len(set(alone.values())) == lanes


@pytest.mark.gpu(seconds=90)
def test_the_same_when_killed_or_stopped_in_mid_epoch_and_resumed(card, lanes, alone, cache, tmp_path):
    """A kill ends the process of all lanes at once; each goes on from its last checkpoint. A stop leaves one in mid-epoch."""
    executor = lanes_of(str(card.device), lanes, tmp_path / "children.log")
    killed = []

    def kill(carried):
        under_way = [key for key in carried.stories if carried.events(key, EpochFinished)]
        pids = set(executor.pids().values())
        if not killed and pids and under_way:
            killed.extend(pids)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    try:
        whole = carry(executor, mixed_jobs(card, tmp_path / "killed", cache), lanes, 60, kill)
        assert len(killed) == 1, "all lanes share one process"
        assert whole.crashes > 0
        assert whole.digests() == alone

        first = mixed_jobs(card, tmp_path / "stopped", cache)
        asked = set()

        def stop(carried):
            for key in carried.stories:
                at_work = carried.events(key, EpochFinished) or carried.events(key, TrainingProgress)
                if at_work and key not in asked:
                    asked.add(key)
                    executor.cancel(key)

        begun = carry(executor, first, lanes, 60, stop)
        rest = {key: again(job) for key, job in first.items() if isinstance(begun.last(key), Stopped)}
        assert rest, "all were done before they could be stopped"
        resumed = carry(executor, rest, lanes, 60)
        assert resumed.digests() == {key: alone[key] for key in rest}
    finally:
        executor.close()


@pytest.mark.gpu(seconds=90)
def test_random_numbers_are_a_lane_s_own_twenty_times(card, many, lanes, cache, tmp_path):
    """Dropout, augmentation and random starts: a lane that drew from another's generator would train to other weights."""
    rounds, seeds = card.sized(20, 2), card.sized(4, 2)

    def wanted(seed, folder):
        return job_of({**RANDOM, "architectures": [{"name": "kumar-cnn", "width": 0.25}]}, card, folder, cache, seed)

    one = {str(seed): wanted(seed, tmp_path / f"one {seed}") for seed in range(seeds)}
    expected = carry(many, one, 1, 60).digests()
    assert len(set(expected.values())) == seeds
    crowd = {
        f"{seed} in round {number}, lane {lane}": wanted(seed, tmp_path / f"{number} {lane}")
        for number in range(rounds)
        for lane in range(lanes)
        for seed in [lane % seeds]
    }
    found = carry(many, crowd, lanes, 90).digests()
    assert len(found) == rounds * lanes
    others = [key for key, digest in found.items() if digest != expected[key.split()[0]]]
    assert others == []


@pytest.mark.gpu(seconds=60)
def test_a_trial_in_fp16_goes_through_and_changes_nobody(card, many, lanes, alone, cache, tmp_path):
    """Its loss scaler waits for the host, so it may train eagerly; the others must not notice."""
    wanted = mixed_jobs(card, tmp_path, cache)
    del wanted[next(reversed(wanted))]
    half = {"training": {"precision": card.sized("fp16", "bf16")}}
    wanted["half"] = job_of(half, card, tmp_path / "half", cache)
    found = carry(many, wanted, lanes, 50)
    assert found.digest("half")
    assert {key: digest for key, digest in found.digests().items() if key != "half"} == {
        key: alone[key] for key in wanted if key != "half"
    }


def test_the_mixed_trials_differ_in_what_lanes_could_confuse():
    assert len(MIXED) == 16
    defenses = [one["name"] for document in MIXED.values() for one in document.get("defenses", [])]
    assert {"pgd-at", "fgsm-at", "fgsm-rs", "trades", "free-at"} <= set(defenses)
