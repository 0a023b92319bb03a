"""Merging: loss-free, twice as good as once, in any order, whole or not at all; what cannot be is refused in one line."""

import os
import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.audit import AuditedRadius, AuditRun
from core.errors import BadInput, InnateError, NotFound
from core.events import Audited, Diagnosed, EvaluationFailed, Started, Trained, TraitsMeasured
from core.study.share import Share
from storage import (
    copies,
    database,
    journal,
    notes,
    queue,
    recording,
    settling,
    studies,
    submitting,
    transfers,
    worker_state,
)
from storage.destinations import in_use
from storage.export import export_sqlite
from storage.home import Home, prepare
from storage.merge.merging import merge
from storage.merge.opened import database_of
from storage.merge.weights import copy_weights
from storage.settling import MoreSeeds
from tests.conftest import plan_of, thorough, tiny
from tests.storage import stored
from tests.storage.test_settling import FIRST
from tests.storage.test_traits import MEASURED
from tests.storage.test_transfers import ATTACK
from tests.storage.test_trust import look

DOCUMENT = tiny(
    optimizers=[{"name": "adam", "lr": 0.02}],
    attacks=[{"name": "fgsm", "eps": [0.1, 0.2]}, {"name": "deepfool"}],
    audit={"samples": 16},
)
"""Two variants with two seeds each, a minimum-norm attack among the attacks, audits."""
VIEWS = ("v_results", "v_leaderboard", "v_trials", "v_robustness", "v_training", "v_trust", "v_traits", "v_transfer")
NOT_MERGED = {"command", "worker", "progress", "setting"}
"""What is of this machine or this moment."""
OF_THIS_MACHINE = {"pid", "data_root", "weights_removed"}


def home_at(folder, name):
    home = Home(folder / name)
    prepare(home)
    return home, database.connect(home.database)


def work(db, home, trial_ids=None, *, digest="f" * 64, device="cpu"):
    """Train and attack these trials (None: all) as a worker would record it; what comes out is a trial's own, on any machine."""
    queued = [row[0] for row in db.execute("SELECT trial_id FROM study_trial WHERE state = 'queued' ORDER BY position")]
    for trial_id in queued if trial_ids is None else trial_ids:
        queue.prioritise(db, [trial_id], 9)
        claim = queue.claim(db)
        assert claim.trial_id == trial_id
        queue.prioritise(db, [trial_id], 0)
        started = Started({"device": device, "torch": "x"}, 1, "i" * 64)
        recording.record_started(db, claim.attempt_id, started)
        journal.append(db, [journal.Line(1.0, trial_id, one) for one in journal.entries(started)])
        if queue.weights_path(db, trial_id) is None:
            history = (stored.epoch(1), stored.epoch(2))
            trained = Trained(stored.weights_file(home, claim), "i" * 64, digest, history, 1000)
            recording.record_trained(db, claim.attempt_id, trained, home)
        stored.evaluate(db, claim, int(trial_id[:8], 16))
        samples = stored.samples_of(db)[60]
        recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, look()))
        recording.record_traits(db, claim.attempt_id, TraitsMeasured(samples, 60, MEASURED))
        for order in claim.audits:
            recording.record_audit(db, claim.attempt_id, audited(order.spec, samples))
        queue.settle(db, claim.attempt_id)


def audited(spec, samples):
    fell_at = np.full(60, np.inf, np.float32)
    fell_at[:3] = spec.eps[0]
    radii = tuple(AuditedRadius(eps, 16, 16, 3, 3, 1, ("apgd",), ("apgd",)) for eps in spec.eps)
    return Audited(spec, samples, 60, fell_at, radii, (AuditRun(ATTACK, 16, 3),), 10, 5, 0.2, 128)


def content(db):
    """Table → its rows, with what numbers of rows stand for in place of them, and without what is of one machine."""
    stands_for = {
        "evaluation_id": "SELECT id, trial_id || attack_id || samples FROM evaluation",
        "audit_id": "SELECT id, trial_id || spec_id || samples FROM audit",
        "attempt_id": "SELECT id, trial_id || started_at FROM attempt",
    }
    names = {column: dict(db.execute(sql).fetchall()) for column, sql in stands_for.items()}
    found = {}
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*sqlite*'").fetchall()
    for (table,) in tables:
        integer_key = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5] and row[2] == "INTEGER"]
        rows = [
            {
                column: names.get(column, {}).get(value, value)
                for column, value in row.items()
                if column not in OF_THIS_MACHINE and (column != "id" or integer_key != ["id"])
            }
            for row in db.query(f"SELECT * FROM {table}")
        ]
        found[table] = sorted(rows, key=repr)
    return {table: rows for table, rows in found.items() if table not in NOT_MERGED}


def seen(db, views=("v_results", "v_leaderboard", "v_robustness", "v_training")):
    return {view: sorted(map(repr, db.execute(f"SELECT * FROM {view}").fetchall())) for view in views}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A home with something of everything. Tests copy its database."""
    home, db = home_at(tmp_path_factory.mktemp("theirs"), "home")
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    trials = [row[0] for row in db.execute("SELECT trial_id FROM study_trial ORDER BY position")]
    work(db, home, trials[:3])
    notes.change(db, "tiny", None, "for the paper", ["keep"])
    (variant,) = db.execute("SELECT variant_id FROM trial WHERE id = ?", (trials[0],)).fetchone()
    settling.settle(db, "tiny", [], [FIRST], 0.5, [MoreSeeds(variant, (7,))])
    samples = stored.samples_of(db)[60]
    cells = tuple(transfers.TransferCell(target, 40, 10, 0.5, "0f" * 8) for target in trials[:2])
    transfers.record(
        db, transfers.Crafted(ATTACK, trials[0], cells, dict.fromkeys(trials[:2], "f" * 64), samples, 60, "fp32")
    )
    studies.add_attack(db, "tiny", trials[:1], replace(ATTACK, seed=5))
    stored.bring(db, home)
    claim = queue.claim(db, "imported-digits")
    event = EvaluationFailed(ATTACK, samples, 60, "out of memory", "Traceback")
    recording.record_failed_evaluation(db, claim.attempt_id, event)
    queue.release(db, claim.attempt_id, "stopped")
    queue.cancel(db, [trials[3]], None)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.conn.close()
    return home


@pytest.fixture
def other(theirs, tmp_path):
    """A copy of that database, to change at will."""
    return Path(shutil.copy(theirs.database, tmp_path / "other.db"))


@pytest.fixture
def db(home):
    return database.connect(home.database)


# --- loss-free, idempotent, symmetric ---


def exported(db, folder, study=None):
    """What `innate export sqlite` writes."""
    export_sqlite(db, folder / "x.db", study, in_use(Home(folder / "none"), folder / "none.db"))
    return folder / "x.db"


def test_an_export_merges_back_without_loss(theirs, db, tmp_path):
    before = database.connect(theirs.database, read_only=True)
    exported(before, tmp_path)
    merged = merge(db, tmp_path / "x.db")
    assert (merged.trials, merged.studies, merged.conflicts) == (6, ("tiny", "imported-digits"), ())
    assert content(db) == content(before)
    assert seen(db, VIEWS) == seen(before, VIEWS)


def test_an_export_of_one_study_merges_back_without_loss(theirs, db, tmp_path):
    path = exported(database.connect(theirs.database, read_only=True), tmp_path, "tiny")
    assert merge(db, path).studies == ("tiny",)
    came, left = content(db), content(database.connect(path, read_only=True))
    for table in (
        "attack",
        "environment",
        "event",
    ):  # an export keeps those of the other studies, which nothing refers to
        assert [row for row in came.pop(table) if row not in left[table]] == []
        left.pop(table)
    assert came == left


def test_a_second_merge_changes_nothing(other, db):
    merge(db, other)
    before, written = content(db), db.conn.total_changes
    again = merge(db, other)
    assert (again.changed, again.known, again.trials, again.evaluations) == (False, 6, 0, 0)
    assert content(db) == before
    assert written > 0


@settings(
    max_examples=thorough(60, 3),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a smaller example takes minutes to find
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    chosen=st.lists(st.sampled_from(["neither", "one", "two", "both"]), min_size=4, max_size=4),
    attacks=st.lists(
        st.sampled_from([("fgsm", [0.1, 0.2]), ("fgsm", [0.05]), ("deepfool", None), ("bim", [0.1])]),
        min_size=1, max_size=3, unique_by=str,
    ),
    extra=st.sampled_from(["one", "two", "both", "neither"]),
)  # fmt: skip
def test_in_any_order_the_same_comes_out_as_in_one_home(chosen, attacks, extra, cache, tmp_path_factory):
    """Homes that did any parts of a study, overlapping or not, come to what one home comes to that did all of it."""
    folder = tmp_path_factory.mktemp("merging")
    tables = [{"name": name, **({"eps": eps} if eps else {})} for name, eps in attacks]
    plan = plan_of({**DOCUMENT, "attacks": tables, "audit": {"samples": 16 * (extra == "both")}}, cache)
    order = sorted(trial.id for trial in plan.trials)
    homes = {name: home_at(folder, name) for name in ("one", "two", "whole", "first", "second")}
    for name, parts in (("one", ("one", "both")), ("two", ("two", "both")), ("whole", ("one", "two", "both"))):
        home, db = homes[name]
        submitting.submit(db, plan)
        mine = [trial for trial, place in zip(order, chosen, strict=True) if place in parts]
        work(db, home, mine)
        anywhere = extra == "both" or (extra in ("one", "two") and chosen[0] in (extra, "both"))
        added = order[:1] if order[0] in mine and (extra in (name, "both") or (name == "whole" and anywhere)) else []
        if added:
            studies.add_attack(db, "tiny", added, replace(ATTACK, seed=9))
        work(db, home, added)
    one, two, whole, first, second = (db for _, db in homes.values())
    files = [homes[name][0].database for name in ("one", "two")]
    for target, sources in ((first, files), (second, files[::-1])):
        for source in sources:
            merge(target, source)
    merge(one, files[1])
    merge(two, files[0])
    _, back = home_at(folder, "back")
    merge(back, exported(whole, folder, "tiny"))
    assert content(back) == content(whole)
    wanted = seen(whole)
    for db in (one, two, first, second):
        assert seen(db) == wanted


def test_trials_that_left_their_study_come_along_as_such(cache, tmp_path):
    home, db = home_at(tmp_path, "other")
    submitting.submit(db, plan_of(tiny(seeds=2), cache))
    work(db, home)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    _, merged = home_at(tmp_path, "own")
    merge(merged, home.database)
    left = "SELECT trial_id, study, left_at FROM left_trial ORDER BY trial_id"
    assert len(db.execute(left).fetchall()) == 4
    assert merged.execute(left).fetchall() == db.execute(left).fetchall()
    numbers = "SELECT trial_id, attack_id, eps, robust_accuracy FROM v_results WHERE study IS NULL ORDER BY 1, 2, 3"
    assert merged.execute(numbers).fetchall() == db.execute(numbers).fetchall() != []
    assert not merge(merged, home.database).changed
    # In a home whose study has them, they are its trials.
    _, whole = home_at(tmp_path, "whole")
    submitting.submit(whole, plan_of(tiny(seeds=2), cache))
    merge(whole, home.database)
    assert whole.execute(left).fetchall() == []
    assert submitting.preview(whole, plan_of(tiny(seeds=2), cache)).done == 8


def test_shares_of_a_study_come_to_what_one_home_comes_to(cache, tmp_path):
    plan = plan_of(tiny(seeds=3), cache)
    whole_home, whole = home_at(tmp_path, "whole")
    submitting.submit(whole, plan)
    work(whole, whole_home)
    _, merged = home_at(tmp_path, "merged")
    for number in (1, 2, 3):
        home, db = home_at(tmp_path, str(number))
        assert submitting.submit(db, plan, share=Share(number, 3)).trials == 4
        work(db, home)
        merge(merged, home.database)
    assert seen(merged, VIEWS) == seen(whole, VIEWS)
    order = "SELECT trial_id, state FROM study_trial ORDER BY position"
    assert merged.execute(order).fetchall() == whole.execute(order).fetchall()
    assert submitting.submit(merged, plan).done == 12


# --- what is told otherwise ---


@pytest.fixture
def two(cache, tmp_path):
    """Two homes that trained the same two trials, the second to other weights, on another device."""
    plan = plan_of(tiny(seeds=1, optimizers=["adam"]), cache)
    made = []
    for name, digest, device in (("here", "a" * 64, "cpu"), ("there", "b" * 64, "cuda:0")):
        home, db = home_at(tmp_path, name)
        submitting.submit(db, plan)
        work(db, home, digest=digest, device=device)
        made.append((home, db))
    return made


def test_other_weights_of_the_same_trial_are_kept_beside_this_homes_own(two, tmp_path):
    (_, here), (there, _) = two
    before = content(here)
    found = merge(here, there.database).conflicts
    assert [(one.own_digest[0], one.other_digest[0], one.kept) for one in found] == [("a", "b", True)] * 2
    assert (found[0].own_environment["device"], found[0].other_environment["device"]) == ("cpu", "cuda:0")
    after = content(here)
    assert len(after.pop("merged_copy")) == 2
    assert len(after.pop("merged_copy_result")) == 2 * (1 + 2 + 2)
    assert after == {table: rows for table, rows in before.items() if table in after}
    again = merge(here, there.database)
    assert (again.changed, [one.kept for one in again.conflicts]) == (False, [False, False])
    kept = copies.copies(here, found[0].trial_id)
    assert [(one.attack, one.eps) for one in kept[0].results] == [
        (None, None), ("fgsm", 0.1), ("fgsm", 0.2), ("pgd", 0.1), ("pgd", 0.2)
    ]  # fmt: skip
    assert all(one.accuracy == one.own_accuracy for one in kept[0].results), "the same outcomes were recorded of both"
    _, third = home_at(tmp_path, "third")
    merge(third, Path(here.conn.execute("PRAGMA database_list").fetchone()[2]))
    assert content(third)["merged_copy"] == content(here)["merged_copy"]


def test_another_outcome_on_the_same_weights_is_counted_and_ours_stays(other, db):
    merge(db, other)
    before = content(db)
    with sqlite3.connect(other) as changed:
        bitmap = changed.execute("SELECT rowid, bitmap FROM ledger_content WHERE distances IS NULL").fetchone()
        flipped = bytes([bitmap[1][0] ^ 0b10100000, *bitmap[1][1:]])
        changed.execute("UPDATE ledger_content SET bitmap = ? WHERE rowid = ?", (flipped, bitmap[0]))
    found = merge(db, other)
    assert [(one.attack, one.samples, one.of) for one in found.differing] == [("fgsm", 2, 60)]
    assert not found.changed
    assert content(db) == before


def test_scores_and_verdicts_are_worked_out_here_whatever_the_file_says(other, db, theirs):
    with sqlite3.connect(other) as forged:
        forged.execute("UPDATE score SET value = 0.99, low = 0.98, high = 1.0")
        forged.execute(
            "UPDATE study_trial SET trust = 'ok', trust_reasons = '[]', state = 'done' WHERE state <> 'cancelled'"
        )
        forged.execute("UPDATE ledger SET robust_accuracy = 1.0, survived = 60")
        forged.execute("UPDATE clean SET accuracy = 1.0")
        forged.execute("UPDATE evaluation SET trust = 'ok' WHERE state = 'done'")
        forged.execute("UPDATE diagnosis SET trust = 'ok'")
        forged.execute("UPDATE robustness SET robust_accuracy = 1.0, compared_accuracy = 1.0, trust = 'ok'")
    merge(db, other)
    assert seen(db) == seen(database.connect(theirs.database, read_only=True))


def test_what_failed_here_and_was_done_there_is_done(two):
    (_, here), (there, _) = two
    here.execute("UPDATE trial SET final_digest = ?", ("b" * 64,))
    here.execute(
        "UPDATE evaluation SET state = 'failed', reason = 'x' WHERE attack_id IN (SELECT id FROM attack WHERE name = 'pgd')"
    )
    here.execute("UPDATE study_trial SET state = 'failed'")
    assert merge(here, there.database).evaluations == 2
    assert here.execute("SELECT DISTINCT state FROM study_trial").fetchall() == [("done",)]


def test_another_grid_of_the_same_name_gets_a_name_of_its_own_the_same_from_everywhere(other, db, cache):
    submitting.submit(db, plan_of({**DOCUMENT, "seeds": 1}, cache))
    ((theirs, here),) = merge(db, other).renamed
    assert theirs == "tiny"
    assert here.startswith("tiny-")
    assert studies.stored_study(db, here).seeds == studies.stored_study(database.connect(other), "tiny").seeds
    assert [row[0] for row in db.execute("SELECT name FROM study ORDER BY name")] == ["imported-digits", "tiny", here]
    done = db.execute("SELECT count(*) FROM study_trial WHERE study = 'tiny' AND state = 'done'").fetchone()
    assert done == (2,), "trials of both were trained once"
    assert not merge(db, other).changed


def test_a_note_of_ones_own_stays(other, db, cache):
    submitting.submit(db, plan_of(DOCUMENT, cache))
    notes.change(db, "tiny", None, "mine")
    found = merge(db, other)
    assert (found.notes, found.notes_kept) == (0, 1)
    assert notes.note_on(db, "tiny", None).text == "mine"


def test_what_somebody_cancelled_here_stays_cancelled_unless_it_was_done_there(other, db, cache):
    submitting.submit(db, plan_of(DOCUMENT, cache))
    queue.cancel(db, None, "tiny")
    merge(db, other)
    states = dict(db.execute("SELECT state, count(*) FROM study_trial WHERE study = 'tiny' GROUP BY state").fetchall())
    assert states == {"cancelled": 2, "done": 2, "queued": 1}, "the first was to be attacked more"


def test_a_tuned_study_chooses_here_by_what_was_tried_there(cache, tmp_path):
    document = tiny(
        optimizers=["adam"], activations=["relu"], seeds=2, attacks=[{"name": "fgsm", "eps": [0.1]}],
        training={"epochs": 1, "batch_size": 32, "hyperparameters": "tuned"},
        tuning={"trials": 2, "validation": 0.2, "ranges": {"adam": {"lr": [1e-4, 1e-2]}}},
    )  # fmt: skip
    home, there = home_at(tmp_path, "there")
    submitting.submit(there, plan_of(document, cache))
    from storage import tuning

    while tuning.stages(there, "tiny").open:
        queued = there.execute("SELECT trial_id FROM study_trial WHERE state = 'queued' LIMIT 1").fetchone()
        if queued is None:
            tuning.advance(there)
            continue
        claim = queue.claim(there)
        lr = claim.trial.optimizer.options["lr"]
        history = (replace(stored.epoch(1), validation_accuracy=min(1.0, lr * 50)),)
        recording.record_started(there, claim.attempt_id, Started({"device": "cpu"}, 1, "i" * 64))
        trained = Trained(stored.weights_file(home, claim), "i" * 64, "f" * 64, history, 1)
        recording.record_trained(there, claim.attempt_id, trained, home)
        stored.evaluate(there, claim)
        queue.settle(there, claim.attempt_id)
    _, here = home_at(tmp_path, "here")
    with sqlite3.connect(home.database) as forged:
        assert forged.execute("UPDATE tuning_cell SET chosen = 0.0001, edge = 0").rowcount == 1
    merge(here, home.database)
    with sqlite3.connect(home.database) as honest:
        honest.execute("UPDATE tuning_cell SET chosen = (SELECT max(value) FROM tuning_candidate), edge = 1")
    assert content(here) == content(database.connect(home.database, read_only=True))
    assert not merge(here, home.database).changed


# --- somebody else's file ---


def tampered(sql):
    def change(path):
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.executescript(sql)

    return change


def unstrict(path):
    """A number where text belongs, which no STRICT table takes: the file says it itself, byte by byte."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE name = 'epoch'")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE epoch SET loss = 'much'")


TAMPERED = {
    "a spec that is not its id": (tampered("UPDATE trial SET spec = replace(spec, '0.02', '0.03')"), "not the hash"),
    "a variant that is not its id": (tampered("UPDATE trial SET variant_id = id"), "not the hash"),
    "a spec that is no JSON": (tampered("UPDATE trial SET spec = '{' || spec"), "no sound JSON"),
    "deep JSON": (tampered("UPDATE trial SET spec = replace(hex(zeroblob(40000)), '00', '[')"), "no sound JSON"),
    "an attack that is not its id": (tampered("UPDATE attack SET spec = replace(spec, '0.1', '0.3')"), "not the hash"),
    "an attack that nobody knows": (
        tampered("UPDATE attack SET spec = json_set(spec, '$.name', 'magic'), name = 'magic'"), "not the hash"
    ),
    "weights elsewhere": (tampered("UPDATE trial SET weights = '../../' || weights"), "is not inside the checkpoints"),
    "weights by an absolute path": (tampered("UPDATE trial SET weights = '/etc/passwd'"), "is not inside the checkpoints"),
    "a bitmap that is too short": (tampered("UPDATE ledger_content SET bitmap = x'00'"), "1 bytes where its count asks for 8"),
    "distances that are too short": (
        tampered("UPDATE ledger_content SET distances = x'00' WHERE distances IS NOT NULL"), "distances: 1 bytes"
    ),
    "distances that are no numbers": (
        tampered("UPDATE ledger_content SET distances = replace(hex(zeroblob(120)), '00', '\xff') WHERE 0; "
                 "UPDATE ledger_content SET distances = x'" + "0000c07f" * 60 + "' WHERE distances IS NOT NULL"),
        "negative or no number",
    ),
    "a count that lies": (tampered("UPDATE evaluation SET count = 61 WHERE state = 'done'"), "counts other samples"),
    "a count of millions": (tampered("UPDATE clean SET count = 90000000"), "bytes where its count asks for"),
    "a negative count": (tampered("UPDATE clean SET count = -60"), "count: -60 is not between"),
    "a missing ledger": (tampered("DELETE FROM ledger WHERE position = 0"), "is missing|not at the ε"),
    "an accuracy above one": (tampered("UPDATE epoch SET accuracy = 1.5"), "epoch, accuracy: 1.5 is out of range"),
    "an infinite time": (tampered("UPDATE attempt SET started_at = 9e999"), "attempt, started_at: inf is out of range"),
    "a document that is no study": (
        tampered("UPDATE study SET document = json_set(document, '$.seeds', 0)"), "study 'tiny': study file: seeds"
    ),
    "a name that is another's": (tampered("UPDATE study SET name = '../x' WHERE name = 'tiny'"), "calls it"),
    "a place without a trial": (
        tampered("UPDATE study_trial SET trial_id = replace(trial_id, substr(trial_id, 1, 4), '0000')"),
        "is not in the file",
    ),
    "a look that does not fit": (
        tampered("UPDATE diagnosis SET content = json_set(content, '$.unsteady', 99999)"), "counts do not fit"
    ),
    "an audit that does not fit": (tampered("UPDATE audit_radius SET fell = 17"), "counts do not fit"),
    "a transfer that does not fit": (tampered("UPDATE transfer SET fooled = 41"), "counts do not fit"),
    "a trigger": (tampered("CREATE TRIGGER t AFTER INSERT ON event BEGIN DELETE FROM trial; END"), "has a trigger"),
    "a view for a table": (
        tampered("ALTER TABLE epoch RENAME TO was; CREATE VIEW epoch AS SELECT * FROM was"), "no table epoch"
    ),
    "a column less": (tampered("ALTER TABLE note DROP COLUMN changed_at"), "table note is not as innate makes it"),
    "a table less": (tampered("DROP TABLE note"), "no table note"),
    "a column that works itself out": (
        tampered("ALTER TABLE note ADD COLUMN x TEXT AS (upper(text))"), "table note is not as innate makes it"
    ),
    "a newer schema": (tampered("PRAGMA user_version = 99"), "newer innate"),
    "another program's": (tampered("PRAGMA application_id = 7"), "not one of innate's"),
    "text where numbers belong": (unstrict, "epoch, loss: 'much' is no number|not a sound"),
    "a text of megabytes": (
        tampered("UPDATE attempt SET traceback = replace(hex(zeroblob(1000000)), '00', 'ab')"), "letters are too long"
    ),
    "a clock of another age": (tampered("UPDATE study SET run_at = 1e12"), "study, run_at"),
    "two attempts in one": (
        tampered("UPDATE attempt SET environment_id = 'e' || substr(environment_id, 2); "
                 "UPDATE environment SET id = 'e' || substr(id, 2)"), "not the hash"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def untouched():
    return database.empty()


@pytest.mark.parametrize("what", TAMPERED)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(what, other, untouched):
    change, words = TAMPERED[what]
    change(other)
    with pytest.raises(BadInput, match=words) as refused:
        merge(untouched, other)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(other))
    assert len(str(refused.value)) < 600
    assert not any(content(untouched).values())


def test_what_is_no_database_is_refused(tmp_path, db, home):
    text = tmp_path / "notes.db"
    text.write_text("not a database at all " * 100)
    with pytest.raises(BadInput, match="is not a database"):
        merge(db, text)
    with pytest.raises(NotFound, match="no such database"):
        database_of(tmp_path / "none.db")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is no file"):
        database_of(tmp_path / "pipe")
    assert database_of(home.root) == home.database
    with pytest.raises(BadInput, match="this home's own"):
        merge(db, home.database)
    linked = tmp_path / "linked.db"
    linked.symlink_to(home.database)
    with pytest.raises(BadInput, match="this home's own"):
        merge(db, linked)


def damaged(data, rng):
    """A few bytes changed, a page swapped with another, or the end cut off."""
    data = bytearray(data)
    way = rng.random()
    if way < 0.6:
        for _ in range(rng.choice([1, 3, 30])):
            data[rng.randrange(100, len(data))] = rng.randrange(256)
    elif way < 0.8:
        size, pages = 4096, len(data) // 4096
        one, two = (size * rng.randrange(1, pages) for _ in range(2))
        data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]
    else:
        del data[rng.randrange(100, len(data)) :]
    return bytes(data)


def test_a_damaged_file_is_taken_whole_or_not_at_all(theirs, tmp_path):
    rng, sound, path = random.Random(19), theirs.database.read_bytes(), tmp_path / "damaged.db"
    refused = 0
    for turn in range(thorough(3000, 40)):
        path.write_bytes(damaged(sound, rng))
        db = database.empty()
        try:
            merge(db, path)
        except InnateError as error:
            told = str(error)
            assert "\n" not in told, turn
            assert db.execute("SELECT count(*) FROM trial").fetchone() == (0,), turn
            refused += 1
        assert not db.conn.in_transaction
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    assert refused > 5


def test_cells_of_any_kind_are_taken_whole_or_not_at_all(theirs, tmp_path):
    """Every column that is read, with values that somebody might try."""
    rng, refused = random.Random(7), 0
    values = [
        None,
        "",
        "x",
        "NaN",
        "[]",
        "{}",
        "[1]",
        "a" * 64,
        -1,
        0,
        2**62,
        -(2**63),
        0.5,
        1e308,
        -9e999,
        9e999,
        b"",
        b"\xff" * 240,
    ]
    shutil.copy(theirs.database, tmp_path / "sound.db")
    sound = sqlite3.connect(tmp_path / "sound.db")
    tables = ("trial", "attempt", "epoch", "clean", "evaluation", "ledger", "ledger_content", "example", "audit", "audit_radius",
              "audit_content", "diagnosis", "traits", "attack", "study", "study_trial", "note", "look", "settled", "transfer",
              "event", "environment", "study_audit", "trial_attack")  # fmt: skip
    columns = [(table, row[1]) for table in tables for row in sound.execute(f"PRAGMA table_info({table})")]
    sound.close()
    for table, column in rng.sample(columns, thorough(len(columns), 30)):
        for value in rng.sample(values, thorough(len(values), 2)):
            path = Path(shutil.copy(tmp_path / "sound.db", tmp_path / "tried.db"))
            tried = sqlite3.connect(path, isolation_level=None)
            tried.execute("PRAGMA ignore_check_constraints = ON")
            try:
                tried.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid IN (SELECT max(rowid) FROM {table})", (value,)
                )
            except sqlite3.Error:
                try:
                    tried.execute(f"UPDATE {table} SET {column} = ?", (value,))
                except sqlite3.Error:
                    continue
            finally:
                tried.close()
            db = database.empty()
            try:
                merge(db, path)
            except InnateError as error:
                told = str(error)
                assert "\n" not in told, (table, column, value)
                refused += 1
                assert db.execute("SELECT count(*) FROM trial").fetchone() == (0,)
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    assert refused > 5


@pytest.mark.parametrize("dump", ["v1", "v4", "v9"])
def test_a_database_of_an_older_schema_is_merged_and_left_as_it_was(dump, tmp_path, db):
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "schemas" / f"{dump}.sql").read_text())
    old.close()
    before = path.read_bytes()
    merged = merge(db, path)
    assert merged.trials == 4
    assert path.read_bytes() == before
    assert db.execute("SELECT count(*) FROM v_leaderboard WHERE innate > 0").fetchone()[0] > 0
    assert not merge(db, path).changed


def test_what_was_not_checkpointed_counts_too(theirs, tmp_path, db):
    live, writer = home_at(tmp_path, "live")
    merge(writer, theirs.database)
    assert (live.root / "innate.db-wal").stat().st_size > 0
    assert merge(db, live.database).trials == 6


# --- ends of all kinds ---


@pytest.mark.parametrize("at", [1, 7])
def test_a_merge_that_is_cut_short_leaves_the_home_as_it_was(at, other, db, home):
    worker_state.set_retention(db, "all")  # so that there is something in the log
    before = content(db)
    child = os.fork()
    if not child:
        own = database.connect(home.database)
        merge(own, other, lambda done, *_: os._exit(9) if done == at else None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert content(db) == before
    assert merge(db, other).trials == 6


def test_a_dry_run_says_the_same_and_writes_nothing(other, db):
    before = content(db)
    dry = merge(db, other, dry=True)
    assert content(db) == before
    assert replace(merge(db, other), origin="") == replace(dry, origin="")


# --- weights ---


@pytest.fixture
def with_weights(theirs, tmp_path):
    """A copy of the home with a file for each model that it has trained."""
    home = Home(tmp_path / "with-weights")
    prepare(home)
    shutil.copy(theirs.database, home.database)
    db = database.connect(home.database)
    for (weights,) in db.execute("SELECT weights FROM trial WHERE weights IS NOT NULL").fetchall():
        place = home.checkpoints / weights
        place.parent.mkdir(parents=True)
        place.write_bytes(b"PK\x03\x04 weights of " + weights.encode())
    return home


def test_weights_are_copied_where_there_are_none(with_weights, db, home):
    merge(db, with_weights.database)
    assert db.execute("SELECT count(*) FROM trial WHERE weights NOTNULL AND NOT weights_removed").fetchone() == (0,)
    copied = copy_weights(db, home, with_weights.database, lambda *_: None)
    assert (copied.models, copied.left) == (4, ())
    for (weights,) in db.execute("SELECT weights FROM trial WHERE weights NOTNULL AND NOT weights_removed").fetchall():
        assert (home.checkpoints / weights).read_bytes() == (with_weights.checkpoints / weights).read_bytes()
    assert copy_weights(db, home, with_weights.database, lambda *_: None).models == 0


@pytest.mark.parametrize("trap", ["link", "folder of links", "pipe", "no weights"])
def test_only_files_inside_the_other_home_are_copied(trap, with_weights, db, home, tmp_path):
    merge(db, with_weights.database)
    secret = tmp_path / "secret" / "weights.pt"
    secret.parent.mkdir()
    secret.write_bytes(b"PK\x03\x04 a secret")
    for place in with_weights.checkpoints.rglob("weights.pt"):
        place.unlink()
        if trap == "link":
            place.symlink_to(secret)
        elif trap == "folder of links":
            place.parent.rmdir()
            place.parent.symlink_to(secret.parent)
        elif trap == "pipe":
            os.mkfifo(place)
        else:
            place.write_text("import os")
    copied = copy_weights(db, home, with_weights.database, lambda *_: None)
    assert (copied.models, len(copied.left)) == (0, 4)
    assert not list(home.checkpoints.rglob("weights.*"))
    assert db.execute("SELECT count(*) FROM trial WHERE weights NOTNULL AND NOT weights_removed").fetchone() == (0,)


def test_what_was_found_of_other_weights_counts_no_more_once_a_trial_is_trained_again_to_others(two, tmp_path):
    """As when a merged trial, whose weights stayed where they were, is attacked more here, on other hardware."""
    _, (there, _) = two
    home, db = home_at(tmp_path, "elsewhere")
    merge(db, there.database)
    (trial_id, *_) = (row[0] for row in db.execute("SELECT trial_id FROM study_trial ORDER BY position"))
    studies.add_attack(db, "tiny", [trial_id], ATTACK)
    work(db, home, [trial_id], digest="c" * 64)
    row = db.execute("SELECT state FROM study_trial WHERE trial_id = ?", (trial_id,)).fetchone()
    assert row == ("queued",), "its former attacks are wanted again"
    (kept,) = copies.copies(db, trial_id)
    assert (kept.own_digest, kept.other_digest, kept.other_environment["device"]) == ("c" * 64, "b" * 64, "cuda:0")
    assert {one.attack for one in kept.results} == {None, "fgsm", "pgd"}
    assert db.execute("SELECT count(*) FROM score WHERE trial_id = ?", (trial_id,)).fetchone() == (0,)
    work(db, home, [trial_id])
    assert db.execute("SELECT state FROM study_trial WHERE trial_id = ?", (trial_id,)).fetchone() == ("done",)
    assert [one.kept for one in merge(db, there.database).conflicts] == [False]
