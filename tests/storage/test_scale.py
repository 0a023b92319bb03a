"""What must not grow with the file: which rows SQLite passes for one trial, what an export sees while others write, the log."""

import re
import sqlite3
import threading

import pytest

from app.report.status import page as status_page
from app.report.status import totals, worker_view
from storage import (
    brief,
    database,
    deletion,
    escalations,
    grouping,
    listing,
    queries,
    queue,
    studies,
    submitting,
    verdicts,
)
from storage.destinations import InUse
from storage.export import export_rows, export_sqlite
from storage.grouping import Reading
from storage.home import Home, prepare
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored

LARGE = (
    "trial", "study_trial", "trial_attack", "attempt", "epoch", "clean", "evaluation", "ledger", "ledger_content", "score",
    "outcome", "robustness", "trust_check", "diagnosis", "traits", "reading", "event", "variant_score", "audit", "brief",
)  # fmt: skip
"""Tables with a row or more for each trial."""
_NAMED = re.compile(
    rf"\b(?:FROM|JOIN|UPDATE|INTO|,)\s+({'|'.join(LARGE)})\b(?:\s+(?:AS\s+)?(?!ON\b|WHERE\b|SET\b|CROSS\b)(\w+))?"
)
_PASSED = re.compile(r"(SCAN|SEARCH) (\w+)(?: .*?\((.*)\))?")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("scale") / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(), home.cache))
    for _ in range(4):
        stored.run_one(db, home)
    return home


@pytest.fixture
def db(filled):
    """What a test changes is undone."""
    made = database.connect(filled.database)
    made.conn.execute("BEGIN IMMEDIATE")
    yield made
    made.conn.execute("ROLLBACK")
    made.conn.close()


def plans(db, act):
    """SQL → the lines of its plan, of every statement that `act` executes; and what it returned."""
    statements = {}
    db.conn.set_trace_callback(lambda sql: statements.setdefault(sql))
    try:
        result = act()
    finally:
        db.conn.set_trace_callback(None)
    return {
        sql: [str(row[3]) for row in db.conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
        for sql in statements
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"))
    }, result


def wide(db, act):
    """Where statements of `act` pass a large table whole, or all of it that a study or a state has."""
    found = []
    for sql, lines in plans(db, act)[0].items():
        if "ORDER BY rowid DESC LIMIT 1" in sql:  # the newest row is the first that is met
            continue
        names = {}
        for table, alias in _NAMED.findall(sql):
            names |= {table: table, **({alias: table} if alias else {})}
        for line in lines:
            how, name, columns = _PASSED.match(line).groups() if _PASSED.match(line) else ("", "", None)
            if (
                f"WITH {name} AS" in sql and how == "SCAN"
            ):  # what was just worked out, under the name of what it is made of
                continue
            if name in names and (how == "SCAN" or columns in ("study=?", "state=?")):
                found.append(f"{names[name]}: {line}: {' '.join(sql.split())}")
    return found


def recorded(db, home):
    """All that a worker writes of one trial."""
    claim = queue.claim(db)
    stored.train(db, home, claim)
    stored.evaluate(db, claim)
    escalations.between_rungs(db, claim.trial_id)
    queue.settle(db, claim.attempt_id)
    return claim


def test_what_is_written_of_one_trial_passes_no_others(db, filled):
    found = wide(db, lambda: recorded(db, filled))
    # The queue is read in its order up to the first that can be claimed.
    assert [one for one in found if "LIMIT 1" not in one] == []
    assert {one.split(":")[1] for one in found} <= {" SEARCH st USING COVERING INDEX study_trial_queue (state=?)"}


def test_what_is_asked_of_one_trial_passes_no_others(db):
    done, waiting = studies.done_trials(db, "tiny")[0], queue.next_trial(db)
    brief.keep_up(db)  # takes in the new ones of all trials, once for each connection
    asked = {
        "its page": lambda: trial_detail(db, done),
        "its place in line": lambda: queries.place_in_line(db, "tiny", waiting),
        "its priority": lambda: queue.prioritise(db, [waiting], 3),
        "cancelling it": lambda: queue.cancel(db, [waiting], None),
        "queueing it again": lambda: queue.retry(db, [waiting]),
        "its row": lambda: listing.one(db, "tiny", done),
        "by the beginning of its id": lambda: listing.beginning(db, done[:6], 10),
        "whether it is complete": lambda: queue.is_complete(db, done),
        "forgetting it": lambda: deletion.delete_trials(db, [done]),
    }
    for what, ask in asked.items():
        found = [one for one in wide(db, ask) if not re.search("environment|note|dataset_content", one)]
        assert found == [], what


def test_a_plan_is_held_against_its_own_trials_alone(db, filled):
    plan = plan_of(tiny(), filled.cache)
    found = wide(db, lambda: submitting.preview(db, plan))
    # Those of the study itself, once, to tell which would leave it.
    assert [line.split(":")[1] for line in found] == [" SEARCH st USING COVERING INDEX study_trial_position (study=?)"]
    assert submitting.preview(db, plan).done == 4


def test_pages_read_their_own_rows(db, filled):
    view = worker_view(db, filled)
    counts = totals(db, view)
    brief.keep_up(db)
    found = wide(db, lambda: status_page(db, view, counts, 0, 12, states=("queued",)))
    assert all("study_trial_queue (state=?)" in one for one in found)
    # A list in its own order, its rows filtered, sorted and grouped pass the trials once, by an index, and no table beside.
    for ask in (
        lambda: listing.page(db, limit=20),
        lambda: listing.page(db, listing.parse_filter("optimizer=adam clean>0.5"), limit=20),
        lambda: listing.page(db, order="innate", descending=True, limit=20),
        lambda: grouping.groups(db, "tiny", listing.EVERYTHING, ("optimizer",), Reading("innate")),
        lambda: queries.leaderboard(db, "tiny"),
        lambda: queries.scores(db, "tiny", "innate"),
    ):
        found = wide(db, ask)
        assert {one.split(":")[0] for one in found} <= {"study_trial"}, found
        assert all("SEARCH st" in one for one in found), found


def test_the_queue_of_one_study_does_not_pass_those_of_others(db, filled):
    submitting.submit(db, plan_of(tiny(name="apart", seeds=1, train_samples=200), filled.cache))
    wanted = db.execute(
        "SELECT trial_id FROM study_trial WHERE study = 'tiny' AND state = 'queued' ORDER BY position"
    ).fetchall()
    queue.prioritise(db, [row[0] for row in db.execute("SELECT trial_id FROM study_trial WHERE study = 'apart'")], 5)
    found, trial_id = plans(db, lambda: queue.next_trial(db, "tiny"))
    assert trial_id == wanted[0][0]
    assert all(
        "state=? AND priority" in line for lines in found.values() for line in lines if "study_trial_queue" in line
    )
    queue.prioritise(db, [wanted[-1][0]], 1)
    assert queue.next_trial(db, "tiny") == wanted[-1][0]
    assert queue.next_trial(db, "nobody") is None


PARENTS = ("trial", "attempt", "evaluation", "audit", "study_trial")


def test_whoever_refers_to_what_is_deleted_is_found_by_an_index():
    db = database.empty()
    missing = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        indexes = [
            [row[0] for row in db.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,))]
            for (name,) in db.execute("SELECT name FROM pragma_index_list(?)", (table,)).fetchall()
        ]
        indexes += [[row[0] for row in db.execute("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (table,))]]
        keys: dict[int, list[str]] = {}
        for number, parent, column in db.execute(
            'SELECT id, "table", "from" FROM pragma_foreign_key_list(?)', (table,)
        ).fetchall():
            if parent in PARENTS:
                keys.setdefault(number, []).append(column)
        missing += [
            (table, key) for key in keys.values() if not any(set(one[: len(key)]) == set(key) for one in indexes)
        ]
    assert missing == []


def test_attacks_that_all_have_had_are_known_though_few_are_asked(filled, tmp_path):
    """By each trial as it is scored; by counting as the definition has it."""
    home = Home(tmp_path / "home")
    prepare(home)
    db = database.connect(home.database)
    plan = plan_of(tiny(seeds=1), filled.cache)
    submitting.submit(db, plan)
    while stored.run_one(db, home):
        pass
    trials = studies.done_trials(db, "tiny")
    attack = plan_of(tiny(attacks=[{"name": "fgsm", "eps": [0.05, 0.1]}]), filled.cache).study.attacks[0]
    studies.add_attack(db, "tiny", trials, attack)
    common = []
    while stored.run_one(db, home):
        common.append(list(verdicts.common_attacks(db, "tiny")))
    assert common == [[], [], [], [attack.id]]
    studies.add_attack(
        db, "tiny", trials[:1], plan_of(tiny(attacks=[{"name": "fgsm", "eps": [0.15]}]), filled.cache).study.attacks[0]
    )
    stored.run_one(db, home)
    assert verdicts.common_attacks(db, "tiny") == [attack.id]


def test_an_export_tells_of_one_moment(filled, tmp_path):
    db, other = database.connect(filled.database, read_only=True), sqlite3.connect(filled.database)
    rows = queries.each_result(db)
    first = next(rows)
    before = other.execute("SELECT sum(robust_accuracy) FROM v_results").fetchone()[0]
    with other:
        other.execute("UPDATE ledger SET robust_accuracy = robust_accuracy + 1")
    seen = [first, *rows]
    assert sum(row.robust_accuracy for row in seen) == pytest.approx(before)
    with other:
        other.execute("UPDATE ledger SET robust_accuracy = robust_accuracy - 1")
    other.close()


def test_a_copy_made_while_others_write_is_whole(filled, tmp_path):
    begun, done = threading.Event(), threading.Event()

    def write():
        writer = sqlite3.connect(filled.database, timeout=30)
        turn = 0
        while not done.is_set():
            turn += 1
            with writer:
                writer.execute("UPDATE evaluation SET batch_size = ?", (turn,))
                writer.execute("UPDATE trial SET crashes = ?", (turn,))
            begun.set()
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(30)
    try:
        db, own = database.connect(filled.database, read_only=True), InUse(())
        for number in range(5):
            export_sqlite(db, tmp_path / f"{number}.db", None, own)
        count = export_rows(db, tmp_path / "rows.jsonl", "jsonl", None, own)
    finally:
        done.set()
        thread.join()
    assert count == len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4 * 4
    turns = set()
    for number in range(5):
        copy = sqlite3.connect(tmp_path / f"{number}.db")
        turns |= set(copy.execute("SELECT batch_size FROM evaluation UNION SELECT crashes FROM trial").fetchall())
        together = copy.execute("SELECT count(DISTINCT batch_size) FROM evaluation").fetchone()[0]
        apart = copy.execute(
            "SELECT count(*) FROM trial WHERE crashes <> (SELECT max(batch_size) FROM evaluation)"
        ).fetchone()[0]
        assert (together, apart) == (1, 0)
        assert copy.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        copy.close()
    assert len(turns) > 1, "nothing was written meanwhile"


def test_the_log_shrinks_once_a_long_reader_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_LOG_BYTES", 1 << 16)
    path = tmp_path / "innate.db"
    db = database.connect(path)
    reader = database.connect(path, read_only=True)
    reader.conn.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    log = tmp_path / "innate.db-wal"

    def write():
        db.execute("INSERT INTO event (at, kind, content) VALUES (0, 'Began', ?)", ("x" * 100_000,))

    for _ in range(60):
        write()
    grown = log.stat().st_size
    reader.conn.execute("COMMIT")
    for _ in range(60):
        write()
    assert grown > 5_000_000
    assert log.stat().st_size < grown
