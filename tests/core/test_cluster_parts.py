"""What of the cluster needs no cluster: spools, replays, parcels, and a station on an executor that plays its part."""

import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from core.audit import AuditSpec
from core.errors import Unavailable
from core.events import (
    Audited,
    CleanEvaluated,
    Crashed,
    EpochFinished,
    EpochRecord,
    EvaluationFinished,
    Finished,
    Started,
    Stopped,
    Trained,
    TrainingProgress,
)
from core.executors.cluster import parcels, spool, station
from core.executors.cluster.messages import Cancel, Carried, Forget, Order, Recorded, Setup
from core.executors.cluster.replay import Asked, replayed
from core.executors.cluster.spool import Kept, Page
from core.executors.protocol import Slot
from core.jobs.orders import AuditOrder
from tests.core.test_executors import make_job

STARTED = Started({"device": "cpu"}, 7, "initial")
PROGRESS = TrainingProgress(1, 3, 1, 2, 0.5, 0.5, 10.0)
EPOCH = EpochFinished(EpochRecord(1, 0.5, 0.5, None, 0.1, 1.0))


@pytest.fixture
def job(tmp_path, cache):
    return make_job(tmp_path / "home" / "checkpoints" / "trial", cache)


def clean(test_samples=60):
    correct = np.ones(3, bool)
    return CleanEvaluated("samples", test_samples, correct, np.arange(3), np.arange(3), 3)


def evaluated(attack, passes=5, test_samples=60):
    return EvaluationFinished(attack, "samples", test_samples, (), (), passes, passes, 0.1, 8, "fp32")


def trained(folder):
    return Trained(folder / "weights.pt", "initial", "final", (), 1)


def story(job):
    return [STARTED, trained(job.folder), clean(), *(evaluated(one.attack) for one in job.evaluations), Finished()]


def kept(job, events):
    asked = Asked(job)
    return [Kept(event, asked.of(event)) for event in events]


class TestReplay:
    def test_a_whole_story_ends_as_it_ended(self, job):
        events = story(job)
        assert replayed(job, job.trial, kept(job, events)) == events

    def test_part_of_it_hands_the_trial_back(self, job):
        events = story(job)[:-2]
        assert replayed(job, job.trial, kept(job, events)) == [*events, Stopped()]

    def test_only_what_is_asked_for_is_told(self, job):
        wanted = replace(job, evaluations=job.evaluations[1:], clean=())
        told = replayed(wanted, job.trial, kept(job, story(job)))
        assert [type(event) for event in told] == [Started, Trained, EvaluationFinished, Finished]
        assert told[2].attack == job.evaluations[1].attack

    def test_more_that_is_asked_for_goes_out_again(self, job):
        wanted = replace(job, clean=(60, None))
        assert isinstance(replayed(wanted, job.trial, kept(job, story(job)))[-1], Stopped)

    def test_another_trial_s_story_is_none(self, job, tmp_path, cache):
        assert replayed(make_job(tmp_path, cache, 1), job.trial, kept(job, story(job))) == []

    def test_a_beginning_alone_is_worth_nothing(self, job):
        assert replayed(job, job.trial, kept(job, [STARTED])) == []

    def test_an_attack_on_other_survivors_is_another(self, job):
        standing = np.array([True, False])
        before = replace(job, evaluations=tuple(replace(one, standing=standing) for one in job.evaluations))
        events = [STARTED, evaluated(job.evaluations[0].attack)]
        assert replayed(before, job.trial, kept(before, events)) == [*events, Stopped()]
        assert replayed(job, job.trial, kept(before, events)) == []

    def test_an_audit_stands_on_all_attacks_before_it_whoever_has_recorded_them(self, job):
        spec = AuditSpec("linf", (0.1,), 4, 0.25, "budget")
        first = replace(job, audits=(AuditOrder(spec, 60),))
        attack = evaluated(job.evaluations[0].attack)
        audit = Audited(spec, "samples", 60, np.zeros(3, np.float32), (), (), 1, 1, 0.1, 8)
        spooled = kept(first, [STARTED, attack, audit])
        assert replayed(first, job.trial, spooled) == [STARTED, attack, audit, Stopped()]
        # The attack was recorded before the driver died: its passes come with the order.
        second = replace(first, evaluations=job.evaluations[1:], audits=(AuditOrder(spec, 60, None, 10),))
        assert audit in replayed(second, job.trial, spooled)
        other = replace(second, audits=(AuditOrder(spec, 60, None, 11),))
        assert audit not in replayed(other, job.trial, spooled)


class TestSpool:
    def session(self, root, driver):
        return spool.Session(root, "home", driver)

    def page(self, job, *events, files=()):
        return Page(spool.version(), job.trial, 1, tuple(Kept(event) for event in events), files)

    def test_what_a_dead_station_left_is_read_by_the_next_and_by_one_only(self, job, tmp_path):
        first = self.session(tmp_path, "one")
        folder = first.attempt(job.trial.id, 1)
        spool.write(folder, 1, self.page(job, STARTED))
        spool.write(folder, 2, self.page(job, clean()))
        second = self.session(tmp_path, "two")
        assert second.adopt() == ([], True), "its station lives"
        first.close()
        assert second.adopt() == ([first.folder], False)
        assert self.session(tmp_path, "three").adopt() == ([], True)
        (past,), notes = spool.past(first.folder)
        assert [type(one.event) for one in past.kept] == [Started, CleanEvaluated]
        assert (past.trial, notes) == (job.trial, [])

    def test_recorded_pieces_go_and_empty_sessions_with_them(self, job, tmp_path):
        session = self.session(tmp_path, "one")
        folder = session.attempt(job.trial.id, 1)
        for number in (1, 2, 3):
            spool.write(folder, number, self.page(job, STARTED))
        spool.drop(folder, 2)
        assert sorted(path.name for path in folder.iterdir()) == ["000001.piece", "000003.piece"]
        shutil.rmtree(folder.parent)
        session.close()
        assert not session.folder.exists()

    @pytest.mark.parametrize("fault", ["cut", "changed", "version", "trial", "weights"])
    def test_damaged_and_foreign_pieces_are_left_aside_and_told(self, job, tmp_path, cache, fault):
        session = self.session(tmp_path, "one")
        folder = session.attempt(job.trial.id, 1)
        spool.write(folder, 1, self.page(job, STARTED))
        page = self.page(job, clean())
        if fault == "version":
            page = replace(page, version="0.0.0")
        if fault == "trial":
            page = replace(page, trial=make_job(tmp_path, cache, 1).trial)
        if fault == "weights":
            page = replace(page, files=(("weights.pt", "0" * 64),))
        spool.write(folder, 2, page)
        piece = folder / "000002.piece"
        if fault == "cut":
            piece.write_bytes(piece.read_bytes()[:-1])
        if fault == "changed":
            piece.write_bytes(piece.read_bytes()[:-1] + b"?")
        spool.write(folder, 3, self.page(job, Finished()))
        (past,), (note,) = spool.past(session.folder)
        assert [type(one.event) for one in past.kept] == [Started], "what comes after may rest on it"
        assert str(piece) in note
        assert note.endswith("left aside")

    def test_a_scratch_folder_that_others_write_to_is_refused(self, tmp_path, monkeypatch):
        place = tmp_path / "open"
        place.mkdir()
        place.chmod(0o777)
        monkeypatch.setenv("INNATE_SCRATCH", str(place))
        with pytest.raises(Unavailable, match="others can write there"):
            spool.scratch()
        place.chmod(0o700)
        assert spool.scratch() == place


class TestParcels:
    def test_a_data_set_is_read_once_and_laid_down_once(self, job, tmp_path):
        rng = np.random.default_rng(0)
        images, labels = rng.integers(0, 256, (8, 4, 4), np.uint8), np.arange(8) % 2
        file = tmp_path / "own.npz"
        np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
        own = replace(job, source=replace(job.source, kind="npz", path=file))
        put, store = [], {}

        def putting(content):
            put.append(content)
            store[str(len(put))] = content
            return str(len(put))

        made = parcels.Parcels(putting)
        parcel = made.of(own)
        assert made.of(own) is parcel
        assert len(put) == 1
        root = tmp_path / "data"
        place = parcels.laid_down(parcel, root, store.pop)
        assert parcels.laid_down(parcel, root, store.pop) == place, "the second time nothing is fetched"
        there = parcels.reading_from(own, place)
        assert there.source.path.read_bytes() == file.read_bytes()
        assert there.cache.is_relative_to(place)

    def test_what_every_installation_has_does_not_travel(self, job):
        assert parcels.Parcels(lambda _: pytest.fail("nothing to put")).of(job) is None


class Played:
    """An executor whose jobs tell what the test hands in."""

    made = None

    def __init__(self, slots, log):
        Played.made = self
        self.jobs, self.told, self.cancelled, self.room = {}, [], [], len(slots)

    def warm(self):
        pass

    def capacity(self):
        return [Slot("cpu", 1)] * self.room

    def submit(self, key, job):
        self.jobs[key] = job

    def poll(self, timeout):
        time.sleep(min(timeout, 0.005))
        told, self.told = self.told, []
        return told

    def cancel(self, key, *, now=False):
        self.cancelled.append((key, now))

    def close(self):
        pass


@pytest.fixture
def stations(tmp_path, monkeypatch):
    """Makes stations of one machine; each has its `Arrived` as `came`, and works on `Played.made`."""
    monkeypatch.setenv("INNATE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(station, "LanesExecutor", Played)
    monkeypatch.setattr(station, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(station, "_OTHERS_SECONDS", 0.0)
    made = []

    def make(driver):
        one = station.Station(Setup("home", driver, Slot("cpu", 1), "box", {}), lambda content: content)
        one.came = one.arrived()
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def reports(one, until):
    """What a station tells, until `until(told)`."""
    told = []
    deadline = time.monotonic() + 20
    while not until(told):
        assert time.monotonic() < deadline, told
        told += one.report(0.05).told
    return told


def begun(key):
    deadline = time.monotonic() + 20
    while key not in Played.made.jobs:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return Played.made.jobs[key]


def ends(told):
    return told and isinstance(told[-1].event, Finished | Stopped | Crashed)


class TestStation:
    def test_files_come_back_with_the_home_s_paths_and_go_once_they_are_recorded(self, stations, job):
        one = stations("driver")
        one.take([Order("key", job, (), None)])
        here = begun("key")
        assert here.folder != job.folder
        (here.folder / "weights.pt").write_bytes(b"weights")
        Played.made.told = [("key", event) for event in [STARTED, *story(here)[1:]]]
        told = reports(one, ends)
        (came,) = (one for one in told if isinstance(one.event, Trained))
        assert came.event.weights == job.folder / "weights.pt"
        assert came.files == (("weights.pt", b"weights"),)
        assert told[0].event.environment["node"] == "box"
        assert [one.piece for one in told] == sorted(one.piece for one in told)
        one.take([Recorded("key", came.piece, False), Recorded("key", told[-1].piece, True)])
        while here.folder.parent.exists():
            time.sleep(0.005)

    def test_weights_that_the_home_has_stay_there(self, stations, job, tmp_path):
        one = stations("driver")
        earlier = replace(job, attempt=2, folder=job.folder.parent / "2", earlier=(job.folder,))
        one.take([Order("key", earlier, (Carried("1", "weights.pt", b"old"),), None)])
        here = begun("key")
        assert (here.earlier[0] / "weights.pt").read_bytes() == b"old"
        Played.made.told = [("key", STARTED), ("key", replace(trained(here.earlier[0]), earlier=True))]
        came = reports(one, lambda told: len(told) == 2)[1]
        assert (came.event.weights, came.files) == (job.folder / "weights.pt", ())

    def test_what_a_dead_driver_did_not_hear_is_told_to_the_next(self, stations, job):
        first = stations("one")
        first.take([Order("key", job, (), None)])
        here = begun("key")
        (here.folder / "weights.pt").write_bytes(b"weights")
        Played.made.told = [("key", event) for event in story(here)]
        reports(first, ends)
        first.close()  # nothing of it was recorded
        second = stations("two")
        (left,) = second.came.leftovers
        assert left.trial_id == job.trial.id
        again = replace(job, attempt=2, folder=job.folder.parent / "2")
        second.take([Order("again", again, (), None, left.id)])
        told = reports(second, ends)
        assert [type(one.event) for one in told] == [type(event) for event in story(job)]
        (came,) = (one for one in told if isinstance(one.event, Trained))
        assert (came.event.weights, came.files) == (again.folder / "weights.pt", (("weights.pt", b"weights"),))
        assert "again" not in Played.made.jobs, "nothing is computed again"
        second.take([Recorded("again", 0, True)])
        second.close()
        assert stations("three").came.leftovers == ()

    def test_a_training_that_was_cut_short_goes_on_from_its_checkpoint(self, stations, job):
        first = stations("one")
        first.take([Order("key", job, (), None)])
        here = begun("key")
        (here.folder / "last.pt").write_bytes(b"state")
        Played.made.told = [("key", STARTED)]
        (told,) = reports(first, lambda told: told)
        first.take([Recorded("key", told.piece, False)])
        first.close()
        second = stations("two")
        (left,) = second.came.leftovers
        assert left.pieces == 1
        second.take([Order("again", replace(job, attempt=2, folder=job.folder.parent / "2"), (), None, left.id)])
        assert (begun("again").earlier[0] / "last.pt").read_bytes() == b"state"

    def test_what_nothing_is_left_of_goes(self, stations, job):
        first = stations("one")
        first.take([Order("key", job, (), None)])
        folder = begun("key").folder
        Played.made.told = [("key", STARTED)]
        reports(first, lambda told: told)
        first.close()
        assert stations("two").came.leftovers == ()
        assert not folder.exists()

    def test_what_nobody_asks_for_is_forgotten(self, stations, job):
        first = stations("one")
        first.take([Order("key", job, (), None)])
        begun("key")
        Played.made.told = [("key", STARTED), ("key", clean())]
        reports(first, lambda told: len(told) == 2)
        first.close()
        second = stations("two")
        (left,) = second.came.leftovers
        second.take([Forget(left.id)])
        second.close()
        assert stations("three").came.leftovers == ()

    def test_one_waits_while_the_other_runs_and_is_withdrawn_unharmed(self, stations, job):
        one = stations("driver")
        one.take([Order("first", job, (), None), Order("second", job, (), None)])
        begun("first")
        deadline = time.monotonic() + 20
        while (report := one.report(0.0)).waiting != ("second",):
            assert time.monotonic() < deadline, report
        one.take([Cancel("second", now=False), Cancel("first", now=True)])
        (told,) = reports(one, ends)
        assert (told.key, told.event) == ("second", Stopped())
        assert Played.made.cancelled == [("first", True)]
        assert "second" not in Played.made.jobs

    def test_of_progress_only_the_last_word_travels_and_nothing_overtakes(self, stations, job):
        one = stations("driver")
        one.take([Order("key", job, (), None)])
        begun("key")
        later = replace(PROGRESS, batch=2)
        Played.made.told = [("key", event) for event in (STARTED, PROGRESS, later, EPOCH, PROGRESS, later)]
        time.sleep(0.2)
        assert [told.event for told in one.report(5.0).told][1:] == [later, EPOCH, later]

    def test_it_asks_for_as_many_ahead_as_it_does_in_two_seconds(self, stations, job):
        one = stations("driver")
        assert one.report(0.0).rooms == 1
        one.take([Order("key", job, (), None)])
        begun("key")
        Played.made.told = [("key", Finished())]
        reports(one, ends)
        time.sleep(0.1)
        assert one.report(0.0).rooms > 1

    def test_a_crash_tells_where(self, stations, job):
        one = stations("driver")
        one.take([Order("key", job, (), None)])
        (begun("key").folder / "last.pt").write_bytes(b"state")
        Played.made.told = [("key", Crashed("it died", -9))]
        (told,) = reports(one, ends)
        assert told.event.reason == "it died (on box)"
        assert told.files == (("last.pt", b"state"),)
