import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from storage import database, listing, studies, submitting
from storage.listing import parse_filter
from storage.reading import as_json
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.fixture(scope="module")
def db(tmp_path_factory, cache):
    """Twelve trials of two studies, ten of them done."""
    from storage.home import Home, prepare

    home = Home(tmp_path_factory.mktemp("listing") / "home")
    prepare(home)
    made = database.connect(home.database)
    submitting.submit(made, plan_of(tiny(), cache))
    for seed in range(6):
        stored.run_one(made, home, seed=seed)
    submitting.submit(
        made, plan_of(tiny(name="other", seeds=1, optimizers=[{"name": "adam", "lr": 0.5}, "rmsprop"]), cache)
    )
    for seed in range(4):
        stored.run_one(made, home, "other", seed=seed)
    return made


def rows(db, text, order=None, **options):
    return listing.page(db, parse_filter(text), order, **options)


def by_hand(db, condition):
    return {(row.study, row.trial_id) for row in listing.page(db) if condition(row)}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", lambda row: True),
        ("optimizer=adam", lambda row: row.optimizer == "adam"),
        ("opt=ADAM", lambda row: row.optimizer == "adam"),
        ("optimizer!=adam", lambda row: row.optimizer != "adam"),
        ("activation~AN", lambda row: row.activation == "tanh"),
        ("state=done clean>90%", lambda row: row.state == "done" and row.clean_accuracy > 0.9),
        ("state=done clean>90", lambda row: row.state == "done" and row.clean_accuracy > 0.9),
        ("worst<=0.5%", lambda row: row.worst_case is not None and row.worst_case <= 0.005),
        ("clean>0.9", lambda row: (row.clean_accuracy or 0) > 0.9),
        ("clean_accuracy<=0.9", lambda row: row.clean_accuracy is not None and row.clean_accuracy <= 0.9),
        ("innate >= 20", lambda row: (row.innate or 0) >= 20),
        ("kept<50%", lambda row: row.retention is not None and row.retention < 0.5),
        ("seed=1", lambda row: row.seed == 1),
        ("optimizer.lr>0.1", lambda row: row.optimizer_options["lr"] > 0.1),
        ("architecture.dropout=0", lambda row: row.architecture_options.get("dropout") == 0),
        ("training.epochs=3", lambda row: row.training["epochs"] == 3),
        ("rms", lambda row: row.optimizer == "rmsprop"),
        ('"other" tanh', lambda row: row.study == "other" and row.activation == "tanh"),
        ("trust!=ok", lambda row: (row.trust or "") != "ok"),
        ("attempts=0", lambda row: row.attempts == 0),
    ],
)
def test_filters_leave_what_they_say(db, text, condition):
    found = {(row.study, row.trial_id) for row in rows(db, text)}
    assert found == by_hand(db, condition)
    assert listing.count(db, parse_filter(text)) == len(found)


def test_an_id_is_found_by_its_beginning(db):
    trial = listing.page(db)[3].trial_id
    assert {row.trial_id for row in rows(db, trial[:12])} == {trial}
    assert {row.trial_id for row in rows(db, f"id={trial[:12].upper()}")} == {trial}
    assert trial not in {row.trial_id for row in rows(db, f"id!={trial[:12]}")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clean>x", "clean is a number, 'x' is not"),
        ("worst>140", "worst is a share, 0 to 1 or 0 to 100 %"),
        ("clean>", "lacks a value"),
        ("optimiser=adam", "did you mean"),
        ("optimizer>adam", "optimizer is text"),
        ("clean~9", "clean is a number"),
        (">0.9", "lacks a key"),
        ("clean", "compare it"),
        ("lr.lr=1", "options are named like optimizer.lr"),
        ("optimizer.=1", "options are named like"),
    ],
)
def test_a_bad_filter_is_one_line_that_names_the_condition(text, words):
    with pytest.raises(BadInput, match="filter") as caught:
        parse_filter(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)  # each makes a database
@given(st.text(max_size=40))
def test_no_text_reaches_sqlite_as_sql(text):
    try:
        chosen = parse_filter(text)
    except BadInput:
        return
    assert listing.count(database.empty(), chosen) == 0


@pytest.mark.parametrize("order", listing.KEYS)
@pytest.mark.parametrize("descending", [False, True])
def test_sorted_with_what_is_unknown_last(db, order, descending):
    names = {"id": "trial_id", "clean": "clean_accuracy", "worst": "worst_case", "kept": "retention",
             "area": "curve_area", "seconds": "train_seconds", "eps": "threat_eps"}  # fmt: skip
    values = [getattr(row, names.get(order, order)) for row in rows(db, "", order, descending=descending)]
    known = [value for value in values if value is not None]
    assert values[: len(known)] == known, "what is unknown comes last"
    assert known == sorted(known, reverse=descending)


def test_pages_put_together_are_the_whole(db):
    whole = rows(db, "", "innate", descending=True)
    pages = [
        row for offset in range(0, 12, 5) for row in rows(db, "", "innate", descending=True, offset=offset, limit=5)
    ]
    assert pages == whole


CONDITIONS = [
    "optimizer=adam", "activation!=relu", "opt~m", "adam", "tanh", "state=done", "trust!=ok", "clean>0.9", "innate<20", "seed=1",
    "optimizer.lr>0.1", "training.epochs=3", "attempts=0", "seconds>0", "dataset=digits", "tag!=keep", "other", "kept<50%",
]  # fmt: skip


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(CONDITIONS), max_size=3), st.sampled_from((None, *listing.KEYS)), st.booleans(),
    st.integers(0, 13), st.integers(0, 13),
)  # fmt: skip
def test_a_page_is_a_part_of_the_whole_however_it_is_looked_for(db, conditions, order, descending, offset, limit):
    """The whole is read in one statement, without looking for keys first; and a filter passes what each of its parts passes."""
    text = " ".join(conditions)
    whole = rows(db, text, order, descending=descending)
    assert rows(db, text, order, descending=descending, offset=offset, limit=limit) == whole[offset : offset + limit]
    assert listing.count(db, parse_filter(text)) == len(whole)
    assert listing.ids(db, parse_filter(text)) == {row.trial_id for row in whole}
    passing = [{(row.study, row.trial_id) for row in rows(db, one)} for one in conditions]
    kept = [
        row
        for row in rows(db, "", order, descending=descending)
        if all((row.study, row.trial_id) in one for one in passing)
    ]
    assert whole == kept


def test_a_connection_learns_of_trials_that_come_and_go(home, cache):
    """What trials are looked for by is kept beside them: it must not fall behind, even where a place is taken again."""
    writer = database.connect(home.database)
    reader = database.connect(home.database, read_only=True)

    def found(text):
        return sorted(row.trial_id for row in listing.page(reader, parse_filter(text), limit=100))

    assert found("optimizer=adam") == []
    submitting.submit(writer, plan_of(tiny(), cache))
    first = found("optimizer=adam")
    assert len(first) == 4
    with database.transaction(writer):
        writer.execute("DELETE FROM study")
        writer.execute("DELETE FROM trial")
    assert found("optimizer=adam") == []
    submitting.submit(writer, plan_of(tiny(optimizers=["rmsprop", {"name": "adam", "lr": 0.5}]), cache))
    assert len(found("optimizer=rmsprop")) == len(found("optimizer=adam")) == 4
    assert not set(first) & set(found("optimizer=adam"))
    for made in (writer, reader):
        made.conn.close()


def test_an_unknown_order_is_bad_input(db):
    with pytest.raises(BadInput, match="sort: speed: not one of"):
        rows(db, "", "speed")


def test_a_seed_that_draws_its_training_subset_is_told(home, cache):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(), cache))
    own = plan_of(tiny(name="own", vary=["train_subset", "seed"]), cache)
    submitting.submit(db, own)
    assert {(row.study, tuple(row.vary or ())) for row in rows(db, "")} == {
        ("tiny", ()),
        ("own", ("seed", "train_subset")),
    }
    assert studies.stored_trials(db, "own") == list(own.trials)
    assert studies.stored_study(db, "own").vary == ("seed", "train_subset")
    first, last = (trial_detail(db, study.trials[0].id) for study in (own, plan_of(tiny(), cache)))
    assert (first.own_subset, last.own_subset) == (True, False)
    assert stored.queue.claim(db, "own").trial == own.trials[0]


def test_single_rows_and_those_that_are_gone(db):
    first = listing.page(db, limit=1)[0]
    key = (first.study, first.trial_id)
    assert listing.one(db, *key) == first
    assert listing.some(db, [key, ("nowhere", "0" * 64)]) == [first]


def test_the_rows_have_the_columns_of_v_trials(db):
    view = [column[0] for column in db.execute("SELECT * FROM v_trials").description]
    assert set(view) <= set(as_json(listing.page(db, limit=1)[0]))
