"""The fingerprint of what findings are made of: the same as long as they are, another when something comes in."""

import pytest

from core.verdict.settling.looked import Looked
from core.verdict.settling.spending import Look
from storage import database, settling, submitting
from storage.fingerprint import fingerprint
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(), home.cache))
    for seed in range(7):
        stored.run_one(db, home, seed=seed)
    return db


def test_it_changes_with_results_trust_and_looks_and_with_nothing_else(db, home):
    seen = [fingerprint(db, "tiny")]
    db.execute("INSERT INTO event (at, kind) VALUES (1.0, 'heartbeat')")
    db.execute("UPDATE study SET description = 'another'")
    db.execute("UPDATE study_trial SET state = 'running' WHERE state = 'queued'")
    assert fingerprint(db, "tiny") == seen[0]
    db.execute("UPDATE study_trial SET state = 'queued' WHERE state = 'running'")
    stored.run_one(db, home, seed=7)
    seen.append(fingerprint(db, "tiny"))
    db.execute("UPDATE study_trial SET trust = 'invalid' WHERE position = 0")
    seen.append(fingerprint(db, "tiny"))
    settling.settle(db, "tiny", [Looked("claims")], [Looked("claims", (Look(2, 0.001, 60),))], 0.5, [])
    seen.append(fingerprint(db, "tiny"))
    assert len(set(seen)) == 4
