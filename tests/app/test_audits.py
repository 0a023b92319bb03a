"""Audits and equal effort as a user meets them: the command, its words, its exit codes."""

import json
import re
import shutil
import sqlite3

import pytest

from tests.conftest import copy_home, shared, tiny

STUDY = tiny(seeds=1, attacks=[{"name": "fgsm", "eps": [0.1, 0.2]}], audit={"samples": 6})


@pytest.fixture(scope="session")
def audited_home(tmp_path_factory):
    """A study of four models, each attacked by FGSM and audited."""
    from tests.conftest import innate_command

    def make(home):
        path = home.parent / f"{home.name}.toml"
        path.write_text(_toml(STUDY))
        innate_command("run", str(path), home=home)

    return shared(tmp_path_factory, "audited", make)


def _toml(document):
    import tomli_w

    return tomli_w.dumps(document)


@pytest.fixture
def audited(audited_home, home):
    shutil.rmtree(home.root)
    copy_home(audited_home, home.root)
    return home


def rows_of(innate, *arguments):
    document = json.loads(innate(*arguments, "--json").stdout)
    (noun,) = document.keys() - {"schema_version"}
    return document[noun]


def sql(home, text):
    connection = sqlite3.connect(home.database)
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(text)]


def robustness(home):
    return sql(home, "SELECT * FROM v_robustness ORDER BY trial_id, eps")


def test_a_run_ends_with_audits_that_stand_beside_its_numbers(audited, innate):
    rows = robustness(audited)
    assert len(rows) == 8
    for row in rows:
        assert row["audited"] >= min(6, row["audited_of"])
        assert 0 <= row["fell"] <= row["audited"]
        assert row["robust_accuracy"] <= row["compared_accuracy"] <= row["clean_accuracy"]
        assert 0 <= row["overstated_at_most"] <= row["robust_accuracy"] + 1e-9
    text = innate("results").stdout
    assert " over " in text
    assert "against what the audits tried" in text
    shown = innate("show", rows[0]["trial_id"][:8]).stdout
    assert "known %" in shown
    assert f"{rows[0]['fell']} of {rows[0]['audited']}" in shown


def test_a_study_without_audits_marks_its_numbers_as_upper_bounds_until_they_are_asked_for(innate, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(_toml({**STUDY, "optimizers": STUDY["optimizers"][:1], "audit": {"samples": 0}}))
    innate("run", str(path))
    text = innate("results").stdout
    assert "≤" in text
    assert "innate attack --study tiny --audit" in text
    refused = innate("attack", "--study", "tiny", "--audit", check=2)
    assert "--set samples=64" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    found = rows_of(innate, "attack", "--study", "tiny", "--audit", "--set", "samples=5")
    assert {row["trial_id"] for row in found if row["audited"] is not None} == {row["trial_id"] for row in found}
    assert "≤" not in innate("results").stdout.replace("≤:", "")
    again = innate("attack", "--study", "tiny", "--audit", "--set", "samples=5")
    assert "nothing is missing of audit" in again.stderr


def test_leveling_gives_every_model_what_any_of_them_had(audited, innate):
    trial = robustness(audited)[0]["trial_id"]
    innate("attack", trial[:8], "--attack", "bim", "--set", "steps=5")
    rows = {(row["trial_id"], row["eps"]): row for row in robustness(audited)}
    before = rows_of(innate, "results")
    done = innate("attack", "--study", "tiny", "--level", "--json")
    assert re.search(r"trials still lack bim.*; (about|at most|less than) .* on \d+ slot", done.stderr)
    levelled = json.loads(done.stdout)["robustness"]
    after = {(row["trial_id"], row["eps"]): row for row in levelled}
    for key, row in after.items():
        assert row["robust_accuracy"] <= rows[key]["robust_accuracy"] + 1e-9
        assert row["compared_accuracy"] <= rows[key]["compared_accuracy"]
    tried = {row["trial_id"] for row in sql(audited, "SELECT trial_id FROM v_results WHERE attack = 'bim'")}
    assert tried == {trial_id for trial_id, _ in rows}
    now = {row["variant_id"]: row for row in rows_of(innate, "results")}
    assert all(now[row["variant_id"]]["worst_case"] <= row["worst_case"] for row in before)
    again = innate("attack", "--study", "tiny", "--level").stderr
    assert "all models have had" in again or "nothing is missing" in again


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--audit", "--level"], "--escalate, --level or --audit (one, not both)"),
        ([], "--escalate, --level or --audit (one, not both)"),
        (["--level", "--set", "steps=3"], "takes no --set"),
        (["--audit", "--eps", "0.1"], "takes no --eps"),
        (["--audit", "--set", "depth=deep"], "audit.depth"),
        (["--audit", "--set", "samples=-1"], "audit.samples"),
        (["--audit", "--set", "share=0"], "audit.share"),
        (["--audit", "--set", "sampels=5"], "audit.sampels"),
        (["--attack", "pgd"], "name the trials"),
    ],
)
def test_bad_input_is_one_line(audited, innate, arguments, words):
    refused = innate("attack", "--study", "tiny", *arguments, check=2)
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "Traceback" not in refused.stderr


def test_a_trial_and_a_whole_study_do_not_go_together(audited, innate):
    trial = robustness(audited)[0]["trial_id"]
    assert "takes all trials of a study" in innate("attack", trial[:8], "--level", check=2).stderr


def test_plan_tells_the_audits_that_are_missing(innate, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(_toml(STUDY))
    assert "audits: 4 of 4 missing" in innate("plan", str(path)).stdout
    path.write_text(_toml({**STUDY, "audit": {"samples": 0}}))
    assert "upper bounds" in innate("plan", str(path)).stdout
