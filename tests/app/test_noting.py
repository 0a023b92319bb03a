"""`innate note`, and `innate init --from TRIAL`: what they do, what is shown where, and what they say to bad input."""

import json

import pytest

from storage import database, queries, submitting
from tests.conftest import innate_command, plan_of, tiny


@pytest.fixture
def trials(home, cache):
    """Those of the tiny study; nothing is trained."""
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    found = queries.trials(db)
    db.conn.close()
    return found


def test_what_is_noted_is_shown_filtered_by_and_listed(home, trials, innate):
    trial = trials[0].trial_id[:10]
    innate("note", "tiny", "for the paper", "--tag", "Keep", "--tag", "ask-ann")
    done = innate("note", trial, "odd curve", "--json")
    assert json.loads(done.stdout)["notes"] == [
        {"study": "tiny", "variant_id": trials[0].variant_id, "text": "odd curve", "tags": []}
    ]
    told = innate("note", "tiny").stdout
    assert "the study  for the paper [keep, ask-ann]" in told
    assert "adam relu  odd curve" in told
    shown = innate("show", trial).stdout
    assert "study note: for the paper [keep, ask-ann]\nnote: odd curve" in shown
    (listed,) = json.loads(innate("studies", "--json").stdout)["studies"]
    assert (listed["note"], listed["tags"]) == ("for the paper", ["keep", "ask-ann"])
    assert innate("studies").stdout.endswith("\n\ntiny: for the paper [keep, ask-ann]\n")
    found = json.loads(innate("trials", "--filter", "note~odd tag=keep", "--json").stdout)["trials"]
    assert [row["trial_id"] for row in found] == [trials[0].trial_id]
    innate("note", "tiny", "", "--untag", "keep", "--untag", "ask-ann")
    innate("note", trial, "", "--study", "tiny")
    assert "nothing is noted" in innate("note", "tiny").stderr
    assert "note" not in innate("studies").stdout


def test_bad_notes_are_one_line_and_change_nothing(home, trials, innate):
    trial = trials[0].trial_id[:10]
    for arguments, code, words in (
        (("tini", "x"), 3, "mean 'tiny'"),
        (("ffffffffff", "x"), 3, "no trial 'ffffffffff'"),
        ((trial, "x", "--study", "gone"), 3, "no study 'gone'"),
        (("tiny", "x", "--study", "tiny"), 2, "is a study"),
        (("tiny", "--tag", "two words"), 2, "one word"),
        (("tiny", "--untag", "keep"), 2, "it has none"),
        (("tiny", "x" * 2001), 2, "too long"),
    ):
        refused = innate("note", *arguments, check=code)
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""
    assert json.loads(innate("note", "tiny", "--json").stdout)["notes"] == []


def test_no_home_is_made_to_show_a_note(tmp_path):
    innate_command("note", "tiny", home=tmp_path / "none", check=3)
    assert not (tmp_path / "none" / "innate.db").exists()


def test_a_study_file_of_one_trial_is_written_and_plans_that_trial(home, trials, innate, tmp_path):
    file = tmp_path / "again.toml"
    trial = trials[1]
    innate("init", str(file), "--from", trial.trial_id[:10])
    assert file.read_text().startswith(f"# Trial {trial.trial_id[:10]} of study tiny, to edit.\n")
    (planned,) = json.loads(innate("plan", str(file), "--json").stdout)["plan"]
    assert (planned["study"], planned["trials"], planned["new"]) == ("tiny-edited", 1, 1)
    for arguments, code, words in (
        (("--from", "quik"), 2, "'quick'"),
        (("--from", "fffffff"), 3, "no trial"),
        (("--from", trial.trial_id[:10], "--study", "gone"), 3, "no study 'gone'"),
        (("--from", "quick", "--study", "tiny"), 2, "is for a trial"),
        (("--from", trial.trial_id[:10]), 2, "exists already"),
    ):
        refused = innate("init", str(file), *arguments, check=code)
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
