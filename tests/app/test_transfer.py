"""`innate transfer` as a user runs it: the matrix, what is kept, what is left out, and the same numbers elsewhere."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from app.report.transfer_matrix import by_factor, drawn, of_trials, reading
from tests.conftest import copy_home, innate_command, shared
from tests.rows import transfer_result, trial_row

MARKS = {"ok": "", "suspect": "?", "invalid": "!"}


@pytest.fixture(scope="session")
def tried(filled, tmp_path_factory):
    """A copy of the filled home in which the matrix of the tiny study has been made. Tests only read it."""

    def craft(folder):
        copy_home(filled, folder / "home")
        done = innate_command("transfer", home=folder / "home")
        assert "8 of 8 models have yet to craft, for 64 of 64 pairs" in done.stderr

    return shared(tmp_path_factory, "transfer", craft) / "home"


@pytest.fixture
def own(tried, tmp_path):
    """A home of this test's own with that matrix in it."""
    copy_home(tried, tmp_path / "home")
    return tmp_path / "home"


def rows_of(home, *arguments):
    document = json.loads(innate_command("transfer", *arguments, "--json", home=home).stdout)
    assert list(document) == ["schema_version", "transfer"]
    return document["transfer"]


def database(home):
    return sqlite3.connect(home / "innate.db")


def test_json_carries_every_pair_with_the_views_columns(tried):
    rows = rows_of(tried)
    assert list(rows[0]) == [column[0] for column in database(tried).execute("SELECT * FROM v_transfer").description]
    assert len({(row["source_id"], row["target_id"]) for row in rows}) == len(rows) == 64
    assert {(row["attack"], row["norm"], row["eps"], row["samples"]) for row in rows} == {("pgd", "linf", 0.1, 60)}
    for row in rows:
        assert row["transfer_rate"] == row["fooled"] / row["shared"]
        assert 0 <= row["fooled"] <= row["shared"] <= 60
    own = [row["transfer_rate"] for row in rows if row["source_id"] == row["target_id"]]
    other = [row["transfer_rate"] for row in rows if row["source_id"] != row["target_id"]]
    assert len(own) == 8
    assert sum(own) / 8 > sum(other) / 56 > 0


def test_the_diagonal_agrees_with_what_the_attack_itself_found(tried):
    """Whole-length images break no less than those that stop at the first success, but for those that wander back."""
    found = database(tried).execute(
        "SELECT x.robust_accuracy, r.robust_accuracy FROM v_transfer x JOIN v_results r "
        "ON r.trial_id = x.source_id AND r.attack = 'pgd' AND r.eps = x.eps WHERE x.source_id = x.target_id"
    )
    for whole_length, first_success in found.fetchall():
        assert first_success <= whole_length <= first_success + 0.1


def test_the_table_fits_80_columns_and_says_what_to_take_from_it(tried):
    out = innate_command("transfer", home=tried).stdout
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    for words in ("pgd ℓ∞ ε = 0.1, 60 test images", "1 adam relu s0", "8 sgd tanh s1", "* on the model that made them",
                  "mean over pairs of different models", "best source:", "most robust target:"):  # fmt: skip
        assert words in " ".join(out.split())
    assert out.count("*") == 9


def test_what_was_tried_is_not_tried_again_and_what_is_missing_is(own):
    before = {(row["source_id"], row["target_id"]): row for row in rows_of(own)}
    assert innate_command("transfer", home=own).stderr == ""
    source = rows_of(own)[0]["source_id"]
    db = database(own)
    made = dict(db.execute("SELECT source_id, max(made_at) FROM transfer GROUP BY source_id").fetchall())
    db.execute("DELETE FROM transfer WHERE source_id = ? AND target_id <> source_id", (source,))
    db.commit()
    done = innate_command("transfer", home=own)
    assert "1 of 8 models have yet to craft, for 7 of 64 pairs" in done.stderr
    assert {(row["source_id"], row["target_id"]): row for row in rows_of(own)} == before
    again = dict(db.execute("SELECT source_id, max(made_at) FROM transfer GROUP BY source_id").fetchall())
    assert {one for one in made if again[one] != made[one]} == {source}


def test_weights_that_are_gone_are_named_and_left_out(own):
    path, trial = database(own).execute("SELECT weights, id FROM trial WHERE optimizer = 'sgd' LIMIT 1").fetchone()
    (own / "checkpoints" / path).unlink()
    done = innate_command("transfer", "--samples", "20", home=own)
    assert f"no longer on disk: {trial[:10]}" in done.stderr
    assert "49 of 49 pairs" in done.stderr
    assert " 7 " in done.stdout
    assert " 8 " not in done.stdout


def test_a_damaged_file_costs_its_model_alone_and_is_told(own):
    path, trial, seed = database(own).execute("SELECT weights, id, seed FROM trial LIMIT 1").fetchone()
    (own / "checkpoints" / path).write_bytes(b"PK truncated")
    done = innate_command("transfer", "--samples", "20", "--where", f"seed={seed}", home=own, check=1)
    assert f"({trial[:10]}): its weights are missing or damaged" in done.stderr
    assert "mean over pairs" in done.stdout
    assert "Traceback" not in done.stderr


def test_factors_are_averaged_over_pairs_of_different_models(tried):
    rows = rows_of(tried)
    averaged = rows_of(tried, "--by", "optimizer")
    assert len(averaged) == 4
    for row in averaged:
        rates = [
            one["transfer_rate"]
            for one in rows
            if (one["source_optimizer"], one["target_optimizer"]) == (row["source_optimizer"], row["target_optimizer"])
            and one["source_id"] != one["target_id"]
        ]
        assert row["n"] == len(rates) == (12 if row["source_optimizer"] == row["target_optimizer"] else 16)
        assert row["transfer_rate"] == pytest.approx(sum(rates) / len(rates))
    out = innate_command("transfer", "--by", "optimizer", home=tried).stdout
    assert "means over pairs of different models, by optimizer" in out


def test_the_same_matrix_as_csv_as_a_chart_and_in_an_export(own, tmp_path):
    lines = innate_command("transfer", "--format", "csv", home=own).stdout.splitlines()
    assert len(lines) == 65
    assert lines[0].startswith("study,source_id,target_id,attack,")
    out = innate_command("chart", "transfer", home=own).stdout
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "most robust target" in out
    assert "1 adam relu s0" in out
    assert "no transfer tried with fgsm" in innate_command("chart", "transfer", "--attack", "fgsm", home=own).stdout
    innate_command("export", "sqlite", str(tmp_path / "copy.db"), "--study", "tiny", home=own)
    copied = sqlite3.connect(tmp_path / "copy.db")
    assert copied.execute("SELECT count(*) FROM v_transfer").fetchone()[0] == 64
    trial = rows_of(own)[0]["source_id"]
    innate_command("delete", trial, "--yes", home=own)
    assert database(own).execute("SELECT count(*) FROM transfer").fetchone()[0] == 49


def test_a_living_worker_takes_the_rows(own):
    innate_command("worker", "start", "--slots", "1", home=own)
    try:
        done = innate_command("transfer", "--attack", "fgsm", "--limit", "3", home=own)
        assert "3 of 3 models" in done.stderr
        answered = database(own).execute("SELECT count(*) FROM command WHERE kind = 'transfer' AND error IS NULL")
        assert answered.fetchone()[0] == 3
    finally:
        innate_command("worker", "stop", home=own)
    assert len(rows_of(own, "--attack", "fgsm", "--limit", "3")) == 9


def test_ctrl_c_stops_it_and_keeps_the_rows_that_are_whole(own):
    command = [sys.executable, "-P", "-m", "app.main", "--home", str(own), "transfer", "--set", "steps=700"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    db = database(own)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if db.execute("SELECT count(*) FROM transfer").fetchone()[0] > 64:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    kept = db.execute("SELECT count(*) FROM transfer").fetchone()[0] - 64
    assert 0 < kept < 64
    assert kept % 8 == 0
    assert f"{kept // 8} of 8 rows are kept, the same command goes on" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--study", "tinny"], 3, "did you mean 'tiny'"),
        (["--where", "optimizer=adam", "--where", "seed=0", "--where", "activation=relu"], 2, "one trained model"),
        (["--where", "optimiser=adam"], 2, "--where optimiser"),
        (["--attack", "pdg"], 2, "did you mean 'pgd'"),
        (["--eps", "1.5"], 2, "out of range"),
        (["--norm", "l2"], 2, "attacks nothing in l2"),
        (["--samples", "61"], 2, "is tested on 60 images"),
        (["--by", "optimiser"], 2, "'optimizer'"),
        (["--format", "xml"], 2, "not one of table, json, csv"),
        (["--device", "cuda"], 4, "no NVIDIA GPU"),
        (["--crafting", "fp8"], 2, "not one of auto, fp32"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(arguments, code, words, tried):
    before = database(tried).execute("SELECT count(*) FROM transfer").fetchone()
    done = innate_command("transfer", *arguments, home=tried, check=code)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert database(tried).execute("SELECT count(*) FROM transfer").fetchone() == before


def test_a_home_without_a_study_and_a_database_to_read_only(tmp_path, tried):
    assert "innate run quick" in innate_command("transfer", home=tmp_path / "fresh", check=3).stderr
    refused = innate_command("--db", str(tried / "innate.db"), "transfer", home=tmp_path / "fresh", check=2)
    assert "--home" in refused.stderr


def test_the_command_itself_never_imports_torch(own):
    script = (
        "import sys; from app.main import app; "
        f"app(['--home', {str(own)!r}, 'transfer', '--attack', 'noise', '--limit', '2'], standalone_mode=False); "
        "assert not {'torch', 'torchvision', 'sklearn', 'mlxtend'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "noise" in done.stdout


# --- the matrix by itself ---


def trial(number, optimizer="adam", trust="ok"):
    return trial_row(trial_id=f"t{number}", variant_id=f"v{number}", optimizer=optimizer, trust=trust)


def test_many_models_are_cut_with_a_line_that_says_how_to_see_all():
    trials = [trial(number, f"opt{number:02}") for number in range(35)]
    rows = [transfer_result(f"t{a}", f"t{b}", 1.0 if a == b else 0.25) for a in range(35) for b in range(35)]
    text = drawn("heading", of_trials(trials, rows), MARKS, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "the first 30 of 35 models; --format csv has all" in text
    assert "opt29" in text
    assert "opt30" not in text.split("best source")[0]
    assert "mean over pairs of different models 25.0 % (on the source itself 100.0 %)" in " ".join(text.split())


def test_an_invalid_model_is_marked_and_is_no_robust_target():
    trials = [trial(0, "adam"), trial(1, "sgd"), trial(2, "lion", "invalid")]
    rates = {(0, 1): 0.5, (1, 0): 0.3, (0, 2): 0.0, (1, 2): 0.0, (2, 0): None, (2, 1): 0.1}
    rows = [transfer_result(f"t{a}", f"t{b}", rate) for (a, b), rate in rates.items()]
    matrix = of_trials(trials, rows)
    assert "most robust target: adam (30.0 %)" in reading(matrix)
    assert "best source: adam (25.0 %)" in reading(matrix)
    text = drawn("heading", matrix, MARKS, 80)
    assert "3 lion!" in text
    assert "! invalid" in text
    levels = by_factor(trials, rows, "optimizer")
    assert (0, 0) not in levels.values
    assert levels.values[0, 1] == 50.0
