import json

import pytest

from core.attacks import resolve
from core.records.outcome import TransferCell
from storage import database, deletion, submitting, transfers
from storage.codec import decoded, encoded
from tests.conftest import plan_of, tiny
from tests.storage.stored import run_one

ATTACK = resolve("pgd", {"eps": [0.1], "steps": 4}, "test")


@pytest.fixture
def db(home, cache):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    while run_one(db, home):
        pass
    return db


def crafted(db, source, targets, digest="f" * 64):
    cells = tuple(TransferCell(target, 40, 10, 0.5) for target in targets)
    return transfers.Crafted(ATTACK, source, cells, dict.fromkeys([source, *targets], digest), "s" * 64, 60, "fp32")


def test_cells_come_back_as_they_went_in(db):
    ids = list(transfers.weights_of(db, "tiny"))
    assert len(ids) == 4
    sent = crafted(db, ids[0], ids)
    assert decoded(transfers.Crafted, json.loads(json.dumps(encoded(sent)))) == sent
    assert transfers.record(db, sent) == 4
    assert transfers.record(db, sent) == 4
    assert transfers.known(db, ATTACK.id, "s" * 64) == {(ids[0], one) for one in ids}
    rows = transfers.rows(db, "tiny", ATTACK.id, "s" * 64, ids[::-1])
    assert [row.target_id for row in rows] == ids[::-1]
    assert (rows[0].transfer_rate, rows[0].samples, rows[0].attack) == (0.25, 60, "pgd")
    assert transfers.made_last(db, "tiny") == (ATTACK.id, "s" * 64)
    assert transfers.made_last(db, "tiny", "fgsm") is None


def test_cells_of_other_weights_are_neither_shown_nor_kept(db):
    ids = list(transfers.weights_of(db, "tiny"))
    assert transfers.record(db, crafted(db, ids[0], ids[:2], digest="old")) == 0
    transfers.record(db, crafted(db, ids[0], ids[:2]))
    db.execute("UPDATE trial SET final_digest = 'new' WHERE id = ?", (ids[1],))
    assert transfers.known(db, ATTACK.id, "s" * 64) == {(ids[0], ids[0])}
    assert db.execute("SELECT target_id FROM v_transfer").fetchall() == [(ids[0],)]


def test_studies_that_share_trials_share_their_cells_and_deleting_keeps_the_others(db, cache):
    ids = list(transfers.weights_of(db, "tiny"))
    transfers.record(db, crafted(db, ids[0], ids))
    half = tiny(seeds=1, name="half", optimizers=[{"name": "adam", "lr": 0.02}])
    submitting.submit(db, plan_of(half, cache))
    shared = list(transfers.weights_of(db, "half"))
    assert len(transfers.rows(db, "half", ATTACK.id, "s" * 64, shared)) == 2
    deletion.delete_study(db, "tiny")
    assert {row[0] for row in db.execute("SELECT target_id FROM transfer")} == set(shared)


def test_removed_weights_have_no_path(db):
    trial = next(iter(transfers.weights_of(db, "tiny")))
    db.execute("UPDATE trial SET weights_removed = 1 WHERE id = ?", (trial,))
    assert transfers.weights_of(db, "tiny")[trial].path is None
