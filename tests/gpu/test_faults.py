"""A trial that takes the device's process along costs the others no retry, and is found."""

import dataclasses

import pytest

from core import datasets
from core.events import Crashed, EpochFinished, Finished, TrialFailed
from tests.gpu.data import spoilt
from tests.gpu.mixed import job_of, mixed_jobs
from tests.gpu.trials import carry, lanes_of


@pytest.fixture
def executor(card, lanes, tmp_path):
    made = lanes_of(str(card.device), lanes, tmp_path / "children.log")
    yield made
    made.close()


def guilty(card, folder, cache):
    """Its loss at one label fails in a kernel, with which the device's context is lost: for CUDA that cannot be undone."""
    job = job_of({"architectures": ["lenet5"], "dataset": spoilt(cache)}, card, folder, cache)
    whole = dataclasses.replace(job.trial, train_samples=None)  # all images, the spoilt one among them
    return dataclasses.replace(job, trial=whole)


@pytest.mark.gpu(seconds=90)
def test_a_fault_on_the_device_is_found_and_costs_the_others_nothing(card, executor, lanes, cache, tmp_path):
    innocent = mixed_jobs(card, tmp_path / "innocent", cache)
    del innocent[next(reversed(innocent))]
    undisturbed = carry(executor, innocent, lanes, 60).digests()

    fresh = mixed_jobs(card, tmp_path / "beside", cache)
    jobs = {**{key: fresh[key] for key in innocent}, "guilty": guilty(card, tmp_path / "guilty", cache)}
    found = carry(executor, jobs, lanes, 80)
    last = found.last("guilty")
    assert isinstance(last, Crashed | TrialFailed), last
    if card.real:
        assert isinstance(last, Crashed), "a device that failed cannot be used again in its process"
        assert "assert" in last.reason, last.reason
        assert found.crashes > 0, "the others were in that process"
    assert set(found.blamed) <= {"guilty"}
    assert all(isinstance(found.last(key), Finished) for key in innocent)
    assert {key: found.digest(key) for key in innocent} == undisturbed


@pytest.mark.gpu(seconds=60)
def test_a_trial_killed_on_request_is_not_blamed_and_neither_are_the_others(card, executor, lanes, cache, tmp_path):
    """A thread cannot be killed: its process is, and the others go on in the next one."""
    jobs = mixed_jobs(card, tmp_path, cache)
    victim, asked = next(iter(jobs)), []

    def kill(carried):
        if not asked and any(carried.events(key, EpochFinished) for key in jobs):
            asked.append(victim)
            executor.cancel(victim, now=True)

    found = carry(executor, jobs, lanes, 50, kill)
    assert not found.blamed
    assert all(isinstance(found.last(key), Finished) for key in jobs)


def test_the_spoilt_data_set_is_read_as_a_good_one(cache):
    source = datasets.parse_source(spoilt(cache), cache)
    arrays = datasets.load(source, cache, cache)
    assert int(arrays.train_labels.min()) == -1
    assert int(arrays.train_labels.max()) == 9
