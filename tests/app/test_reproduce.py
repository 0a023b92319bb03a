"""`innate reproduce`: a trial trained again, held against what is stored of it."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from app import main
from app.report import reproduction
from app.report.reproduction import as_row, compare, page, reasons
from app.worker import reproduction as again
from app.worker.loop import Stop
from core.errors import BadInput, ExitCode, NotFound, Unavailable
from core.events import Crashed, Started, Stopped, TrainingProgress, TrialFailed, WeightsCompared
from core.executors.protocol import Slot
from storage.database import connect
from storage.home import Home
from storage.trial import trial_detail
from tests.conftest import copy_home, innate_command

OLD = f"Solaris-{'7' * 60}-sparc"


def a_trial(database):
    with contextlib.closing(sqlite3.connect(database)) as raw:
        return str(raw.execute("SELECT trial_id FROM study_trial ORDER BY position").fetchone()[0])


@pytest.fixture(scope="module")
def trained(filled, tmp_path_factory):
    """A trial of the filled home with what training it again gave: (original, rerun, the events told)."""
    there, nowhere = Home(filled), Home(tmp_path_factory.mktemp("again") / "home")
    db = connect(there.database, read_only=True)
    before = again.original(db, there.checkpoints, a_trial(there.database))
    events = []
    rerun = again.train_again(before, nowhere, Slot("cpu", 1), lambda: Stop.NO, events.append, lambda _: None)
    assert not nowhere.root.exists()  # a database of somebody else's needs no home
    db.conn.close()
    # Whoever edits the source while the suite runs changes nothing that these tests are about.
    source = {key: rerun.environment[key] for key in ("git_revision", "git_dirty")}
    before = dataclasses.replace(before, environment={**before.environment, **source})
    return before, rerun, events


def changed(trained, *, before=None, rerun=None):
    """The comparison with something of either side changed."""
    first, second, _ = trained
    return compare(dataclasses.replace(first, **(before or {})), dataclasses.replace(second, **(rerun or {})))


def test_it_is_bit_identical(trained):
    _, rerun, events = trained
    found = changed(trained)
    assert rerun.finished
    assert found.verdict == "bit-identical"
    assert found.distance == 0.0
    assert found.first_apart is None
    assert found.epochs == 3
    assert found.clean_then == found.clean_now
    assert not found.initial_apart
    assert found.environment == ()
    assert reasons(found) == []
    assert any(isinstance(event, TrainingProgress | WeightsCompared) for event in events)


def test_a_changed_digest_is_different_and_the_record_is_named(trained):
    found = changed(trained, before={"final_digest": "0" * 64})
    assert (found.verdict, found.record_contradicts) == ("different", True)
    assert any("the record has been changed" in line for line in reasons(found))
    without = changed(trained, before={"final_digest": "0" * 64}, rerun={"weights": None})
    assert (without.verdict, without.record_contradicts) == ("different", True)


def test_a_changed_environment_is_named_though_the_bits_are_the_same(trained):
    before, _, _ = trained
    found = changed(
        trained, before={"environment": {**before.environment, "platform": OLD, "threads": 4}, "data": "d" * 64}
    )
    assert found.verdict == "bit-identical"
    assert {one.what: one.then for one in found.environment} == {"platform": OLD, "threads": 4, "data": "d" * 64}
    text = page(found, "tiny", 80)
    assert "Not as it was: platform, threads, data." in text
    assert "Solaris" in text
    assert max(map(len, text.splitlines())) <= 80


def test_other_initial_weights_are_told_from_other_training(trained):
    before, rerun, _ = trained
    losses = {epoch: loss + (0.1 if epoch > 1 else 0.0) for epoch, loss in before.losses.items()}
    apart = dataclasses.replace(rerun.weights, stored_digest="f" * 64, distance=0.3)
    changes = {"final_digest": "f" * 64, "losses": losses}
    trained_apart = changed(trained, before=changes, rerun={"weights": apart})
    assert trained_apart.verdict == "different"
    assert trained_apart.first_apart.epoch == 2
    (said, *_) = reasons(trained_apart)
    assert said.startswith("The initial weights are the same; training departs in epoch 2: loss ")
    begun_apart = changed(trained, before={**changes, "initial_digest": "e" * 64}, rerun={"weights": apart})
    assert reasons(begun_apart)[0].startswith("They differ before the first step")
    assert reasons(begun_apart)[1].startswith("Training departs in epoch 2")


@pytest.mark.parametrize(
    ("distance", "clean", "verdict"),
    [
        (0.009, 0.0, "within tolerance"),
        (0.011, 0.0, "different"),
        (0.009, 1 / 60, "within tolerance"),
        (0.009, 2 / 60, "different"),
    ],
)
def test_tolerance_is_of_weights_and_clean_accuracy(distance, clean, verdict, trained):
    before, rerun, _ = trained
    near = dataclasses.replace(rerun.weights, stored_digest="f" * 64, distance=distance)
    found = changed(
        trained,
        before={"final_digest": "f" * 64, "clean_accuracy": before.clean_accuracy - clean},
        rerun={"weights": near},
    )
    assert found.verdict == verdict
    said = " ".join(reasons(found))
    assert "close: 1 % at most" in said
    assert "close: 1.67 at most" in said


@pytest.mark.parametrize(("factor", "verdict"), [(1.009, "within tolerance"), (1.011, "different")])
def test_losses_stand_for_weights_that_are_gone(factor, verdict, trained):
    before, _, _ = trained
    losses = {epoch: loss * factor for epoch, loss in before.losses.items()}
    found = changed(trained, before={"final_digest": "f" * 64, "losses": losses}, rerun={"weights": None})
    assert found.verdict == verdict
    assert any("The weights of before are gone" in line for line in reasons(found))


def test_training_that_fails_now_is_different(trained):
    found = changed(
        trained,
        rerun={"failure": "the loss became NaN", "final_digest": None, "weights": None, "clean": None, "history": ()},
    )
    assert found.verdict == "different"
    assert reasons(found) == [
        "Training fails now: the loss became NaN.",
        "Nothing that was recorded of the environment differs.",
    ]
    assert page(found, "tiny", 80)
    assert as_row(found)["clean_accuracy"]["now"] is None


def test_it_says_so_and_changes_nothing(trained, filled, tmp_path):
    before, _, _ = trained
    copy_home(filled, tmp_path / "home")
    database = tmp_path / "home" / "innate.db"
    with contextlib.closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("UPDATE trial SET final_digest = ? WHERE id = ?", ("0" * 64, before.trial.id))

    def state():
        files = (path for path in (tmp_path / "home").rglob("*") if path.is_file() and "innate.db-" not in path.name)
        return {path: path.read_bytes() for path in files}

    first = state()
    options = (before.trial.id[:12], "--threads", "2", "--json")
    done = innate_command("reproduce", *options, home=tmp_path / "home", check=1)
    assert state() == first
    assert "again on cpu, 2 threads" in done.stderr
    (row,) = json.loads(done.stdout)["reproduce"]
    assert (row["verdict"], row["record_contradicts"]) == ("different", True)
    assert {"what": "threads", "then": 1, "now": 2} in row["environment"]
    assert row["weights_distance"] < 0.01
    assert any("the record has been changed" in line for line in row["why"])


def test_interrupted_it_leaves_nothing(filled, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "app.main", "--home", str(filled), "reproduce", a_trial(filled / "innate.db")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        # A shell has what it starts in the background ignore the signal, and so would this child of the suite.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert "training" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.glob("innate*")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("imported = 'abc'", "trained elsewhere, and nothing here knows how"),
        ("final_digest = NULL", "it has not been trained yet, so there is nothing to compare with"),
        ("final_digest = NULL, failure = 'the loss became NaN'", "its training failed: the loss became NaN, so"),
        ("spec = replace(spec, '\"seed\": 0', '\"seed\": 77')", "take the version that trained it: 0."),
    ],
)
def test_what_cannot_be_reproduced_is_one_line(change, said, filled, tmp_path, monkeypatch, capsys):
    copy_home(filled, tmp_path / "home")
    database = tmp_path / "home" / "innate.db"
    trial = a_trial(database)
    with contextlib.closing(sqlite3.connect(database)) as raw, raw:
        raw.execute(f"UPDATE trial SET {change} WHERE id = ?", (trial,))
    monkeypatch.setattr(sys, "argv", ["innate", "--home", str(tmp_path / "home"), "reproduce", trial])
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    assert ended.value.code == ExitCode.BAD_INPUT
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_an_unknown_trial_is_not_found(filled):
    from storage.queries import find_trial

    with pytest.raises(NotFound):
        find_trial(connect(filled / "innate.db", read_only=True), "0123456789")


class Told:
    """An executor whose job has told all of this."""

    def __init__(self, *events):
        self.events, self.cancelled = list(events), []

    def poll(self, timeout):
        told, self.events = [("reproduce", event) for event in self.events], []
        return told

    def cancel(self, key, *, now=False):
        self.cancelled.append(now)
        self.events = [Stopped()]


BEGUN = Started({"torch": "2"}, 1, "a" * 64)


def followed(*events, stop=Stop.NO):
    executor = Told(*events)
    return again._followed(executor, lambda: stop, lambda _: None), executor


def test_what_cannot_begin_is_bad_input_and_what_fails_later_is_a_difference():
    with pytest.raises(BadInput, match="reproduce: data set npz:gone: there is no such file"):
        followed(TrialFailed("data set npz:gone: there is no such file"))
    found, _ = followed(BEGUN, TrialFailed("the loss became NaN"))
    assert (found.failure, found.finished, found.initial_digest) == ("the loss became NaN", True, "a" * 64)


def test_a_child_that_dies_is_no_verdict():
    with pytest.raises(Unavailable, match="reproduce: killed"):
        followed(BEGUN, Crashed("killed", -9))


def test_a_stop_reaches_the_child():
    found, executor = followed(BEGUN, stop=Stop.CLEANLY)
    assert (found.finished, executor.cancelled) == (False, [False])


def test_the_attempt_that_trained_is_the_one_compared(filled):
    db = connect(filled / "innate.db", read_only=True)
    detail = trial_detail(db, a_trial(filled / "innate.db"))
    assert again._trained_by(detail).number == 1
    more = dataclasses.replace(detail.attempts[0], number=2, environment={"device": "cuda:0"})
    later = dataclasses.replace(detail, attempts=(*detail.attempts, more))
    assert again._trained_by(later).number == 1
    moved = dataclasses.replace(later, weights=detail.weights.replace("/1/", "/2/"))
    assert again._trained_by(moved).number == 2
    db.conn.close()


def test_half_a_point_or_one_image_is_close():
    assert reproduction.clean_tolerance(60) == 1 / 60
    assert reproduction.clean_tolerance(10_000) == 0.005
