"""Notes and tags: what is kept, what is refused, what they filter, and where they go with their subjects."""

import pytest

from core.errors import BadInput, NotFound
from storage import database, deletion, listing, notes, queries, studies, submitting
from storage.destinations import in_use
from storage.export import export_sqlite
from storage.home import Home, prepare
from storage.notes import NoteRow
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny


@pytest.fixture
def db(tmp_path, cache):
    """Two studies that share a variant; nothing is trained."""
    home = Home(tmp_path / "home")
    prepare(home)
    made = database.connect(home.database)
    submitting.submit(made, plan_of(tiny(), cache))
    submitting.submit(made, plan_of(tiny(name="other", seeds=1, optimizers=[{"name": "adam", "lr": 0.02}]), cache))
    return made


def variant(db, **wanted):
    rows = [row for row in queries.trials(db, "tiny") if all(getattr(row, key) == one for key, one in wanted.items())]
    return rows[0].variant_id


def found(db, text):
    return {(row.study, row.optimizer, row.activation) for row in listing.page(db, listing.parse_filter(text))}


def test_a_note_is_text_and_tags_that_are_added_and_taken_off(db):
    assert notes.note_on(db, "tiny", None) == NoteRow("tiny", None, "", ())
    assert notes.change(db, "tiny", None, "  for the\n paper ", ("Keep", "ask-ann")).tags == ("keep", "ask-ann")
    after = notes.change(db, "tiny", None, None, ("v2", "keep"), ("ask-ann",))
    assert after == NoteRow("tiny", None, "for the paper", ("keep", "v2")) == notes.note_on(db, "tiny", None)
    assert notes.note_on(db, "other", None).text == ""
    assert notes.change(db, "tiny", None, "", (), ("keep", "v2")) == NoteRow("tiny", None, "", ())
    assert db.execute("SELECT count(*) FROM note").fetchone() == (0,), "an empty note is none"


def test_studies_and_trials_show_what_is_noted(db):
    subject = variant(db, optimizer="adam", activation="relu")
    notes.change(db, "tiny", None, "all of it", ("paper",))
    notes.change(db, "tiny", subject, "odd curve")
    notes.change(db, "other", subject, None, ("twin",))
    listed = {row.study: (row.note, row.tags) for row in studies.studies(db)}
    assert listed == {"tiny": ("all of it", ["paper"]), "other": ("", [])}
    row = next(row for row in queries.trials(db, "other") if row.variant_id == subject)
    told = [(one.study, one.variant_id is None, one.text, one.tags) for one in trial_detail(db, row.trial_id).notes]
    assert told == [
        ("other", False, "", ("twin",)),
        ("tiny", True, "all of it", ("paper",)),
        ("tiny", False, "odd curve", ()),
    ]


def test_what_is_noted_on_a_variant_or_its_study_can_be_filtered_by(db):
    notes.change(db, "tiny", variant(db, optimizer="sgd", activation="tanh"), "Odd curve, run again", ("keep", "later"))
    notes.change(db, "other", None, None, ("paper",))
    assert found(db, "tag=keep") == {("tiny", "sgd", "tanh")} == found(db, "tag=LATER note~again")
    assert found(db, 'note="odd curve, run again"') == {("tiny", "sgd", "tanh")}
    assert found(db, "tag~ape") == {("other", "adam", "relu"), ("other", "adam", "tanh")}
    assert found(db, "tag!=keep study=tiny") == found(db, "study=tiny") - {("tiny", "sgd", "tanh")}
    assert found(db, "tag=keep optimizer=adam") == set() == found(db, "tag=nothing")
    for text, words in (
        ("tag>3", "is text"),
        ("tag", "such as tag=keep"),
        ("note=", "lacks a value"),
        ("tga=x", "mean 'tag'"),
    ):
        with pytest.raises(BadInput, match=words):
            listing.parse_filter(text)


def test_bad_subjects_tags_and_texts_are_named_and_change_nothing(db):
    notes.change(db, "tiny", None, "as it was", ("keep",))
    for asked, error, words in (
        (("tini", None, "x"), NotFound, "mean 'tiny'"),
        (("tiny", "f" * 64, "x"), NotFound, "variant ffffffffff is not in study tiny"),
        (("tiny", None, "x", ("two words",)), BadInput, "one word"),
        (("tiny", None, "x", ("",)), BadInput, "one word"),
        (("tiny", None, "x" * 2001), BadInput, "2,001 letters are too long"),
        (("tiny", None, "x", (), ("gone",)), BadInput, "its tags are keep"),
    ):
        with pytest.raises(error, match=words):
            notes.change(db, *asked)
    assert notes.note_on(db, "tiny", None) == NoteRow("tiny", None, "as it was", ("keep",))


def test_notes_stay_when_a_study_is_run_again_go_with_what_they_are_on_and_are_exported(db, cache, tmp_path):
    subject, other = variant(db, optimizer="adam"), variant(db, optimizer="sgd")
    for study, one in (("tiny", None), ("tiny", subject), ("tiny", other), ("other", None), ("other", subject)):
        notes.change(db, study, one, "noted")
    submitting.submit(db, plan_of(tiny(), cache))
    assert db.execute("SELECT count(*) FROM note").fetchone() == (5,)
    home = Home(tmp_path / "home")
    export_sqlite(db, tmp_path / "taken.db", "other", in_use(home, home.database))
    taken = database.connect(tmp_path / "taken.db", read_only=True)
    assert taken.execute("SELECT study, text FROM note ORDER BY variant_id").fetchall() == [("other", "noted")] * 2
    deletion.delete_trials(db, [row.trial_id for row in queries.trials(db, "tiny") if row.variant_id == other])
    assert db.execute("SELECT count(*) FROM note WHERE variant_id = ?", (other,)).fetchone() == (0,)
    deletion.delete_study(db, "tiny")
    assert {row[0] for row in db.execute("SELECT study FROM note")} == {"other"}
