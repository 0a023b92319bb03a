"""Every command as a script would call it: what it prints, where, and with which exit code."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli_w

from app.cli import queue
from app.worker import control, foreground
from storage.database import connect
from storage.queue import remaining
from tests.conftest import ROOT, TINY, answered, copy_home, innate_command

ESCAPE = "\x1b"


@pytest.fixture
def read(filled):
    """`read(*arguments)` against the filled home: (stdout, stderr)."""

    def call(*arguments, **options):
        done = innate_command(*arguments, home=filled, **options)
        return done.stdout, done.stderr

    return call


@pytest.fixture
def rows(read):
    """`rows(noun, *arguments)`: the rows of a JSON document."""

    def call(noun, *arguments):
        out, _ = read(*arguments, "--json")
        document = json.loads(out)
        assert document["schema_version"] == 1
        assert list(document)[:2] == ["schema_version", noun]
        return document[noun]

    return call


def view_columns(filled, view):
    db = sqlite3.connect(filled / "innate.db")
    return {column[0] for column in db.execute(f"SELECT * FROM {view}").description}


# --- listings ---


def test_results_carry_the_leaderboards_columns_best_first(rows, filled):
    found = rows("results", "results")
    assert len(found) == 4
    assert found[0].keys() == view_columns(filled, "v_leaderboard")
    scores = [row["innate"] for row in found]
    assert scores == sorted(scores, reverse=True)
    assert all(row["seeds"] == 2 for row in found)


def test_results_by_factors_have_score_low_high_and_n(rows):
    found = rows("results", "results", "--by", "optimizer,activation", "--score", "worst_case")
    assert [set(row) for row in found] == [{"optimizer", "activation", "score", "low", "high", "n"}] * 4
    (adam, sgd) = sorted(rows("results", "results", "--by", "optimizer"), key=lambda row: row["optimizer"])
    assert (adam["optimizer"], adam["n"], sgd["n"]) == ("adam", 2, 2)
    assert adam["low"] < adam["score"] < adam["high"]


def test_levels_are_held_against_the_first_in_pairs(read):
    document = json.loads(read("results", "--by", "optimizer", "--score", "clean_accuracy", "--json")[0])
    first, second = document["differences"]
    best, other = document["results"]
    assert [first["optimizer"], second["optimizer"]] == [best["optimizer"], other["optimizer"]]
    assert first["difference"] is None
    assert second["difference"] == pytest.approx(other["score"] - best["score"], abs=1e-6)
    assert second["low"] <= second["difference"] <= second["high"]
    assert (second["pairs"], second["trials"]) == (4, 4)
    wide, _ = read("results", "--by", "optimizer,activation", "--score", "worst_case")
    assert max(map(len, wide.splitlines())) <= 80
    out, _ = read("results", "--by", "optimizer")
    assert "paired by seed, image and every other choice" in out.replace("\n    ", " ")


def test_a_score_of_one_radius_is_shown_at_another(read, rows):
    at = {}
    for eps in ("0.1", "0.2", "1/5"):
        text, _ = read("results", "--by", "optimizer", "--score", "worst_case", "--eps", eps)
        assert f"(worst_case in % at ℓ∞ ε = {0.2 if eps == '1/5' else eps}: mean over n variants" in text
        found = rows("results", "results", "--by", "optimizer", "--score", "worst_case", "--eps", eps)
        at[eps] = {row["optimizer"]: row["score"] for row in found}
    assert at["0.2"] == at["1/5"]
    assert all(at["0.2"][name] < at["0.1"][name] for name in ("adam", "sgd"))
    own = rows("results", "results", "--by", "optimizer", "--score", "worst_case")
    assert {row["optimizer"]: row["score"] for row in own} == at["0.1"]


def test_the_table_says_what_it_shows(read):
    out, _ = read("results")
    assert "optimizer" in out
    assert "activation" in out
    assert "digits, mlp, no defense" in out
    assert "ℓ∞ ε = 0.1" in out


@pytest.mark.parametrize(
    ("form", "pattern"),
    [("csv", r"^study,variant_id,"), ("markdown", r"^\| dataset \|"), ("latex", r"\\begin\{tabular\}")],
)
def test_results_come_in_other_forms(form, pattern, read):
    out, _ = read("results", "--format", form)
    assert re.search(pattern, out)
    assert len(out.splitlines()) >= 5


def test_trials_list_the_views_columns_and_filter(rows, filled):
    found = rows("trials", "trials")
    assert len(found) == 8
    assert found[0].keys() == view_columns(filled, "v_trials")
    assert len(rows("trials", "trials", "--where", "optimizer=sgd", "--where", "seed=1", "--state", "done")) == 2
    assert len(rows("trials", "trials", "--limit", "3")) == 3


def test_show_tells_everything_of_one_trial(rows, read):
    trial = rows("trials", "trials")[0]["trial_id"]
    (detail,) = rows("trial", "show", trial[:10])
    assert detail["trial_id"] == trial
    assert len(detail["epochs"]) == 3
    assert len(detail["results"]) == 4
    assert {score["name"] for score in detail["scores"]} >= {"innate", "clean_accuracy", "retention"}
    assert detail["attempts"][0]["environment"]["threads"] == 1
    out, _ = read("show", trial[:8])
    for word in (trial, "torch", "pgd", "of this model, not of others", "attempt 1 on cpu"):
        assert word in out


def test_studies_are_listed(rows):
    (study,) = rows("studies", "studies")
    assert (study["study"], study["trials"], study["done"]) == ("tiny", 8, 8)


@pytest.mark.parametrize(
    "noun",
    [
        "presets",
        "datasets",
        "architectures",
        "optimizers",
        "activations",
        "attacks",
        "defenses",
        "scores",
        "traits",
        "checks",
    ],
)
def test_catalogues_name_summary_and_source(noun, rows, read):
    found = rows(noun, noun)
    assert len(found) >= 3
    assert all(row["name"] and row["summary"] for row in found)
    out, _ = read(noun)
    assert all(row["name"] in out for row in found)


@pytest.mark.parametrize(
    "kind", ["scores", "effects", "interactions", "curves", "heatmap", "tradeoff", "causes", "training"]
)
def test_charts_are_plain_when_piped_and_fit_80_columns(kind, read):
    out, _ = read("chart", kind)
    assert ESCAPE not in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "tiny" in out
    assert "sgd" in out
    narrow, _ = read("chart", kind, "--width", "60", "--height", "12")
    assert max(len(line) for line in narrow.splitlines()) <= 60


def test_a_trait_is_held_against_a_score(read):
    out, _ = read("chart", "causes", "--trait", "boundary", "--by", "activation", "--score", "innate")
    assert "boundary against innate, by activation" in out
    assert "boundary, pixels" in out
    assert "● relu   ◆ tanh" in out
    assert "over 4 variants" in " ".join(out.split())
    _, err = read("chart", "causes", "--trait", "margn", check=2)
    assert "--trait margn: not one of margin, margin_mean" in err
    _, err = read("chart", "causes", "--by", "optimizer,activation", check=2)
    assert "causes are shown by one factor" in err


def test_a_trial_s_page_has_its_traits(read, rows):
    trial = rows("trials", "trials")[0]["trial_id"]
    out, _ = read("show", trial)
    (line,) = [line for line in out.splitlines() if line.startswith("gradient_l1")]
    assert line.split()[2:] == ["logits", "/", "pixel"]
    assert float(line.split()[1]) > 0.0


def test_charts_can_be_narrowed_down(read):
    out, _ = read("chart", "curves", "--attack", "fgsm", "--where", "optimizer=sgd")
    assert "under fgsm" in out
    assert "adam" not in out


@pytest.mark.parametrize(
    "arguments",
    [["results"], ["results", "--by", "optimizer"], ["trials"], ["studies"], ["plan", "quick"], ["attacks"], ["datasets"],
     ["optimizers"], ["doctor"], ["presets"], ["scores"]],
)  # fmt: skip
def test_what_is_piped_has_no_escape_codes_and_fits_80_columns(arguments, read):
    out, err = read(*arguments)
    assert ESCAPE not in out + err
    long = [line for line in out.splitlines() if len(line) > 80]
    assert long == []


def test_examples_come_as_text_and_as_png(read, rows, tmp_path):
    trial = next(row["trial_id"] for row in rows("trials", "trials") if row["clean_accuracy"] > 0.5)
    out, _ = read("examples", trial, "--attack", "pgd")
    assert "→" in out
    assert "pgd ℓ∞ ε" in out
    read("examples", trial, "-o", str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    _, err = read("examples", trial, "-o", str(tmp_path / "a.jpg"), check=2)
    assert "PNG" in err


def test_what_is_no_ordinary_file_is_written_into_and_never_replaced(read, tmp_path):
    """Once an export by root made /dev/null an ordinary file, and every program on the machine suffered."""
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file.csv"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    read("export", "csv", str(pipe))
    out, _ = reader.communicate(timeout=30)
    assert out.startswith("study,trial_id")
    assert pipe.is_fifo()
    file.write_text("before")
    link.symlink_to(file)
    assert "exists already" in read("export", "csv", str(link), check=2)[1]
    read("export", "csv", str(link), "--force")
    assert link.is_symlink()
    assert file.read_text() == out
    read("export", "csv", "/dev/null", "--force")
    assert Path("/dev/null").is_char_device()
    assert not list(tmp_path.glob(".*partial*"))


def test_exports(read, rows, tmp_path):
    read("export", "csv", str(tmp_path / "r.csv"))
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 33
    read("export", "jsonl", str(tmp_path / "r.jsonl"), "--study", "tiny")
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 32
    read("export", "sqlite", str(tmp_path / "copy.db"))
    copied, _ = read("--db", str(tmp_path / "copy.db"), "results", "--json")
    assert json.loads(copied)["results"] == rows("results", "results")
    read("export", "weights", str(tmp_path / "w"))
    manifest = json.loads((tmp_path / "w" / "manifest.json").read_text())
    assert len(manifest) == len(list((tmp_path / "w").glob("*.pt"))) == 8
    _, err = read("export", "csv", str(tmp_path / "r.csv"), check=2)
    assert "exists already" in err


def test_an_export_to_publish_has_no_images_and_no_place_of_this_machine(read, rows, tmp_path):
    whole, small = tmp_path / "whole.db", tmp_path / "small.db"
    read("export", "sqlite", str(whole))
    read("export", "sqlite", str(small), "--no-examples")
    copied, _ = read("--db", str(small), "results", "--json")
    assert json.loads(copied)["results"] == rows("results", "results")
    assert small.stat().st_size < whole.stat().st_size
    for path, images in ((whole, True), (small, False)):
        with sqlite3.connect(path) as db:
            assert bool(db.execute("SELECT count(*) FROM example").fetchone()[0]) == images
            assert db.execute("SELECT DISTINCT data_root FROM study").fetchall() == [(None,)]
    _, err = read("export", "csv", str(tmp_path / "r.csv"), "--no-examples", check=2)
    assert "--no-examples: goes with export sqlite" in err


def test_a_database_named_by_db_is_never_written(read, filled, tmp_path):
    before = (filled / "innate.db").read_bytes()
    for command in (["run", "quick"], ["delete", "--study", "tiny", "--yes"], ["retry", "--all"]):
        _, err = read("--db", str(filled / "innate.db"), *command, check=2)
        assert "--home" in err
    assert (filled / "innate.db").read_bytes() == before


# --- help, versions, empty homes ---

COMMANDS = [
    "report", "reproduce", "tuning", "traits", "findings",
    "run", "plan", "init", "presets", "datasets", "architectures", "optimizers", "activations", "attacks", "defenses",
    "scores", "studies", "trials", "show", "results", "chart", "attack", "examples", "export", "delete", "retry", "doctor",
    "transfer", "compare", "status", "wait", "cancel", "priority", "gc", "query", "guide", "merge", "published",
]  # fmt: skip


def test_help_names_every_command_and_is_what_innate_alone_prints(innate):
    out = innate("--help").stdout
    assert innate().stdout == out
    assert all(re.search(rf"^  {command}  ", out, re.MULTILINE) for command in COMMANDS)
    assert "..." not in out.partition("Commands:")[2]  # each is told in whole words
    assert re.fullmatch(
        r"innate \d+\.\d+\.\d+ \(revision ([0-9a-f]{10}(, dirty)?|unknown)\)\n", innate("--version").stdout
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command, innate):
    out = innate(command, "--help").stdout
    assert re.search(rf"Examples?: +innate {command}", out), out


@pytest.mark.parametrize("command", ["start", "status", "stop", "pause", "resume", "drain", "logs"])
def test_every_worker_command_has_an_example(command, innate):
    out = innate("worker", command, "--help").stdout
    assert re.search(rf"Examples?: +innate worker {command}", out), out


def test_the_queue_of_a_fresh_home_and_bad_input_to_it(innate, home):
    assert "innate run quick" in innate("status").stdout
    assert json.loads(innate("status", "--json").stdout)["status"] == []
    for arguments, code, word in [
        (["wait"], 3, "no study"),
        (["wait", "--study", "nope"], 3, "no study 'nope'"),
        (["worker", "stop"], 4, "no worker"),
        (["worker", "drain"], 4, "no worker"),
        (["worker", "logs"], 3, "no worker has written"),
        (["worker", "start", "--device", "tpu"], 2, "expected auto"),
        (["worker", "start", "--device", "cuda"], 4, "no NVIDIA GPU"),
        (["worker", "start", "--crafting", "fp8"], 2, "not one of auto, fp32"),
        (["cancel"], 2, "name trials"),
        (["cancel", "zzz"], 2, "hex digits"),
        (["cancel", "--study", "nope"], 3, "nope"),
        (["cancel", "abc"], 3, "no trial"),
        (["priority", "abc"], 2, "whole number"),
        (["priority", "5"], 2, "at least one trial"),
        (["priority", "abc", "-5"], 3, "no trial"),
        (["gc", "--retention", "some"], 2, "not one of all, last, none"),
        (["retry"], 2, "name trials"),
    ]:
        done = innate(*arguments, check=code)
        assert word in done.stderr, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert innate("worker", "pause").stderr.startswith("paused")
    assert "paused already" in innate("worker", "pause").stderr
    assert "the queue is paused" in innate("worker", "status").stdout
    assert innate("worker", "resume").stderr.startswith("resumed")
    row = json.loads(innate("gc", "--dry-run", "--json").stdout)["gc"][0]
    assert (row["removed"], row["retention"], row["dry_run"]) == ([], "last", True)


def test_cancel_and_priority_without_a_worker_change_the_queue_at_once(innate, tmp_path):
    (tmp_path / "s.toml").write_text(tomli_w.dumps({**TINY, "name": "s", "seeds": 1}))
    innate("worker", "pause")
    innate("run", str(tmp_path / "s.toml"), "--detach")
    innate("worker", "stop")
    rows = json.loads(innate("trials", "--json").stdout)["trials"]
    assert {row["state"] for row in rows} == {"queued"}
    out = json.loads(innate("priority", rows[2]["trial_id"], "5", "--json").stdout)
    assert out["priority"] == [{"trial_id": rows[2]["trial_id"], "priority": 5}]
    cancelled = json.loads(innate("cancel", rows[0]["trial_id"], "--json").stdout)["trials"]
    assert cancelled == [{"trial_id": rows[0]["trial_id"]}]
    status = json.loads(innate("status", "--json").stdout)["status"]
    assert next(row["trial_id"] for row in status) == rows[2]["trial_id"]
    assert len(status) == 3
    assert "the queue is paused" in status[0]["waits_for"]
    assert "4 before it" not in innate("status").stdout


def test_the_shell_completes_commands_chart_kinds_presets_and_studies(filled):
    def completed(words):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("innate"))],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "_INNATE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split())),
                "INNATE_HOME": str(filled),
            },
        )
        return done.stdout.split()

    assert "results" in completed("innate ")
    assert "heatmap" in completed("innate chart ")
    assert "quick" in completed("innate run ")
    assert completed("innate results --study ") == ["tiny"]


@pytest.mark.parametrize("arguments", [["results"], ["trials"], ["studies"], ["chart", "scores"]])
def test_a_fresh_home_lists_nothing_says_what_to_do_and_stays_untouched(arguments, innate, tmp_path):
    place = tmp_path / "fresh"
    done = innate_command(*arguments, home=place)
    assert "innate run quick" in done.stderr
    assert not place.exists()


def test_doctor_is_content_without_a_gpu_and_not_with_a_broken_database(innate, home):
    document = json.loads(innate("doctor", "--json").stdout)
    assert {row["check"] for row in document["doctor"]} >= {
        "home",
        "database",
        "worker",
        "devices",
        "disk",
        "data sets",
    }
    home.database.write_text("no database at all " * 100)
    assert "bad" in innate("doctor", check=2).stdout


def test_init_writes_a_study_that_can_be_planned_and_overwrites_nothing(innate, tmp_path):
    innate("init", str(tmp_path / "s.toml"))
    assert "8 trials" in innate("plan", str(tmp_path / "s.toml")).stdout
    text = (tmp_path / "s.toml").read_text()
    assert "exists already" in innate("init", str(tmp_path / "s.toml"), check=2).stderr
    assert (tmp_path / "s.toml").read_text() == text
    innate("init", str(tmp_path / "p.toml"), "--from", "paper-mnist")
    assert "105 trials" in innate("plan", str(tmp_path / "p.toml")).stdout


def test_seeds_with_training_subsets_of_their_own_are_told_apart(innate, tmp_path):
    study = {**TINY, "name": "own", "optimizers": ["adam"], "activations": ["relu"], "train_samples": 200}
    path, vary = tmp_path / "own.toml", "vary=train_subset,seed"
    path.write_text(tomli_w.dumps(study))
    assert (
        "seeds          2, each with 200 training samples of its own\n"
        in innate("plan", str(path), "--set", vary).stdout
    )
    for command in ("plan", "run"):
        refused = innate(command, str(path), "--set", vary, "--set", "train_samples=1437", check=2)
        assert refused.stderr.startswith("innate: own: vary: train_subset moves nothing")
        assert refused.stderr.count("\n") == 1
    assert json.loads(innate("trials", "--json").stdout)["trials"] == [], "nothing was written"
    innate("run", str(path), "--set", "name=fixed")
    innate("run", str(path), "--set", vary)
    innate("run", str(path), "--set", vary)
    found = json.loads(innate("trials", "--json").stdout)["trials"]
    of = {(row["study"], row["seed"]): row for row in found}
    assert len(found) == len(of) == 4
    assert all(row["attempts"] == 1 for row in found), "the second run of the same study has nothing to do"
    assert len({row["final_digest"] for row in found}) == 4
    own, fixed = of["own", 1]["trial_id"], of["fixed", 1]["trial_id"]
    assert "(200 training samples, drawn by its seed)" in innate("show", own).stdout
    assert "(200 training samples)" in innate("show", fixed).stdout
    innate("trials", "--study", "own", "--output", str(tmp_path / "own.json"))
    assert {tuple(row["vary"]) for row in json.loads((tmp_path / "own.json").read_text())} == {("seed", "train_subset")}


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "quik"], 3, "did you mean 'quick'"),
        (["run", "none.toml"], 3, "no such study file"),
        (["run", "quick", "--set", "training.epochs=0"], 2, "training.epochs"),
        (["run", "quick", "--set", "optimizers=adamm"], 2, "did you mean 'adam'"),
        (["run", "quick", "--set", "seeds=1000000"], 2, "12,000,000"),
        (["run", "quick", "--set", "attacks.0.eps=[nan]"], 2, "attacks[0].eps"),
        (["run", "quick", "--device", "cuda"], 4, "no NVIDIA GPU"),
        (["run", "quick", "--device", "gpu"], 2, "--device gpu"),
        (["run", "quick", "--crafting", "fp64"], 2, "--crafting"),
        (["run", "quick", "--set", "training.precision=fp16"], 2, "fp16 needs CUDA"),
        (["run", "quick", "--set", "dataset=folder:nowhere"], 2, "no such folder"),
        (["plan", "quick", "--set", "dataset=npz:nowhere.npz"], 2, "no such file"),
        (["results", "--study", "none"], 3, "no study"),
        (["results", "--by", "optimiser"], 2, "'optimizer'"),
        (["results", "--by", "optimizer", "--score", "worst_case", "--eps", "0.15"], 2, "attacks linf at 0.1, 0.2"),
        (
            ["results", "--by", "optimizer", "--eps", "0.1"],
            2,
            "innate is of no single ε; --score worst_case or retention is",
        ),
        (["results", "--eps", "0.1"], 2, "goes with --by"),
        (["results", "--score", "inate"], 2, "'innate'"),
        (["results", "--format", "xml"], 2, "--format xml"),
        (["chart", "score"], 2, "'scores'"),
        (["chart", "heatmap", "--by", "optimizer"], 2, "two different factors"),
        (["chart", "curves", "--attack", "pdg"], 3, "'pgd'"),
        (["chart", "effects", "--by", "seed"], 2, "not one of architecture, optimizer, activation, defense"),
        (["chart", "effects", "--by", "optimizer,activation"], 2, "effects are of one factor"),
        (["chart", "interactions", "--by", "optimizer"], 2, "interactions need two different factors"),
        (["compare", "adam relu", "adam relu"], 2, "the same variant"),
        (["compare", "adam relu", "optimizer=adam"], 2, "compare two trials, two variants or two levels"),
        (["compare", "adam rleu", "sgd relu"], 3, "did you mean 'adam relu'"),
        (["compare", "adam relu", "sgd relu", "--study", "tin"], 3, "did you mean 'tiny'"),
        (["compare", "adam relu", "sgd relu", "--score", "inate"], 2, "'innate'"),
        (["compare", "0123456789abcdef", "fedcba9876543210"], 3, "no trial"),
        (["trials", "--where", "optimiser=adam"], 2, "'optimizer'"),
        (["trials", "--where", "adam"], 2, "KEY=VALUE"),
        (["trials", "--state", "finished"], 2, "--state finished"),
        (["show", "0123456789abcdef"], 3, "no trial"),
        (["show", "quick"], 2, "hex digits"),
        (["attack", "0123456789abcdef", "--attack", "pgd"], 3, "no trial"),
        (["export", "cvs", "x"], 2, "'csv'"),
        (["delete", "--study", "tiny"], 2, "--yes"),
        (["delete"], 2, "name trials"),
        (["retry"], 2, "name trials"),
        (["init", "--from", "quik"], 2, "'quick'"),
        (["--db", "none.db", "results"], 3, "no such database"),
    ],
)
def test_bad_input_is_one_clear_line_and_the_right_exit_code(arguments, code, words, filled, tmp_path):
    home = tmp_path / "home"  # others read the filled one meanwhile, and SQLite's own files are beside it then
    copy_home(filled, home)
    before = (home / "innate.db").stat().st_mtime_ns, sorted(path.name for path in home.iterdir())
    done = innate_command(*arguments, home=home, check=code)
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("innate: ")
    assert words in line
    assert done.stdout == ""
    assert before == ((home / "innate.db").stat().st_mtime_ns, sorted(path.name for path in home.iterdir()))


def test_a_missing_data_set_without_network_is_answered_soon(innate, home):
    done = innate("run", "paper-mnist", check=4)
    (line,) = done.stderr.strip().splitlines()
    assert "train-images-idx3-ubyte is missing" in line
    assert "put its files under" in line
    assert list((home.root / "data").iterdir()) == []
    assert not home.database.exists()


def test_a_home_that_is_a_file_is_one_line(innate, tmp_path):
    (tmp_path / "file").write_text("")
    done = innate_command("run", "quick", home=tmp_path / "file", check=2)
    assert done.stderr.count("\n") == 1
    assert "home" in done.stderr


def test_a_foreign_or_newer_database_is_refused_and_left_alone(innate, home):
    home.database.write_text("these are my notes " * 100)
    for command in (["results"], ["run", "quick"]):
        assert "not a sound SQLite database" in innate(*command, check=2).stderr
    assert home.database.read_text().startswith("these are my notes")
    home.database.unlink()
    other = sqlite3.connect(home.database)
    other.executescript("PRAGMA user_version = 3; CREATE TABLE t (x)")
    assert "not one of innate's" in innate("results", check=2).stderr, "whatever its number says"
    other.executescript("PRAGMA user_version = 77; CREATE TABLE _sqlite_migrations (x)")
    assert "newer innate" in innate("results", check=2).stderr


def test_a_database_without_tables_is_no_empty_list(innate, home, tmp_path):
    """What a copy is whose log was left behind, and an empty file."""
    copy = tmp_path / "copy.db"
    copy.touch()
    sqlite3.connect(tmp_path / "tableless.db").execute("PRAGMA journal_mode = WAL")
    for path in (copy, tmp_path / "tableless.db"):
        refused = innate("--db", str(path), "studies", check=2)
        assert "without tables" in refused.stderr
        assert "export sqlite" in refused.stderr
        assert refused.stdout == ""
        assert refused.stderr.count("\n") == 1
    home.database.write_bytes((tmp_path / "tableless.db").read_bytes())
    before = home.database.read_bytes()
    assert "has no tables" in innate("studies").stderr
    assert home.database.read_bytes() == before


# --- what is loaded ---


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["results"], ["trials"], ["studies"], ["chart", "curves"], ["plan", "quick"], ["optimizers"], ["doctor"],
     ["chart", "effects"], ["compare", "adam relu", "sgd relu"], ["export", "csv", "/dev/null"], ["report"], ["reproduce", "zz"],
     ["results", "--by", "optimizer,activation", "--format", "latex"], ["query", "SELECT 1"], ["guide"]],
)  # fmt: skip
def test_nothing_but_training_loads_torch(arguments, filled):
    assert loaded(filled, *arguments) == []


def test_a_study_that_is_done_is_answered_without_torch(filled, tmp_path):
    copy_home(filled, tmp_path / "home")
    assert loaded(tmp_path / "home", "run", str(filled.parent / "tiny.toml")) == []


def loaded(home, *arguments):
    """Which of the heavy modules a command has loaded by its end."""
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'torchvision', 'sklearn', 'mlxtend', 'textual', 'pandas')\n"
        "atexit.register(lambda: print('LOADED', *[m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from app.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
    )
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("LOADED")]
    return told.split()[1:]


# --- changing things ---


@pytest.fixture
def at_rest(filled, tmp_path, monkeypatch):
    """`at_rest(*arguments)` against a home in which all is done: what it says. A list of its own has the workers that were asked
    for; nothing gets a child to work in."""
    copy_home(filled, tmp_path / "rest")
    asked = []

    def start(home, slots, crafting, *, succeed=False, cluster=None):
        asked.append(remaining(connect(home.database), "tiny").get("queued", 0))
        return control.Started(4711)

    def none(*_, **__):
        raise AssertionError("an executor was made")

    monkeypatch.setattr(control, "start", start)
    monkeypatch.setattr(foreground, "executor_for", none)

    def call(*arguments, check=0):
        done = answered(*arguments, home=tmp_path / "rest")
        assert done.returncode == check, done.stderr
        return done

    call.asked = asked
    return call


def test_no_worker_is_started_unless_something_is_queued(at_rest, filled, rows, tmp_path):
    spec = str(filled.parent / "tiny.toml")
    trial = rows("trials", "trials")[0]["trial_id"]
    idle = [
        ("run", spec), ("run", spec, "--detach"), ("wait",), ("retry", "--all"), ("retry", trial), ("priority", trial, "3"),
        ("cancel", trial), ("gc",), ("status",), ("plan", spec), ("worker", "pause"), ("worker", "resume"),
    ]  # fmt: skip
    for command in idle:
        at_rest(*command)
    assert at_rest.asked == []
    told = at_rest("run", spec, "--detach").stderr
    assert "nothing is left to do, so no worker is started" in told
    assert "queued" not in told
    at_rest("run", spec, "--set", "seeds=3", "--detach")
    assert at_rest.asked == [4], "once it is queued"


def test_trials_that_leave_a_study_are_named_and_found(at_rest, filled, tmp_path):
    spec = str(filled.parent / "tiny.toml")
    fewer = ("--set", "optimizers=['adam']", "--set", "seeds=1")
    adam = json.loads(at_rest("plan", spec, *fewer, "--json").stdout)["plan"][0]
    assert len(adam["leaving"]) == 8, "the rate of that adam is another"
    few = f"8 trials ({', '.join(trial[:10] for trial in adam['leaving'][:3])}, …); they keep all results: innate trials --left"
    assert f"leaving: {few}" in at_rest("plan", spec, *fewer).stdout
    done = at_rest("run", spec, *fewer, "--detach", "--json")
    assert f"tiny: left by {few}" in done.stderr
    assert json.loads(done.stdout)["run"][0]["leaving"] == adam["leaving"]

    left = json.loads(at_rest("trials", "--left", "--json").stdout)["trials"]
    assert {row["trial_id"] for row in left} == set(adam["leaving"])
    assert {(row["study"], row["left_study"], row["state"]) for row in left} == {(None, "tiny", "done")}
    table = at_rest("trials").stdout
    assert table.count(" – ") == 8
    assert "in no study (–): 8 left tiny 20" in table
    (still,) = {row["study"] for row in json.loads(at_rest("trials", "--study", "tiny", "--json").stdout)["trials"]}
    assert still == "tiny"
    page = at_rest("show", left[0]["trial_id"]).stdout
    assert "in no study (left tiny 20" in page
    assert "pgd" in page
    at_rest("export", "csv", str(tmp_path / "r.csv"))
    assert sum(line.startswith(",") for line in (tmp_path / "r.csv").read_text().splitlines()) == 32
    at_rest("trials", "--left", "-o", str(tmp_path / "l.csv"))
    assert len((tmp_path / "l.csv").read_text().splitlines()) == 9
    assert "use one of them" in at_rest("trials", "--left", "--study", "tiny", check=2).stderr
    assert (
        "8 that had left tiny before stay: innate trials --left" in at_rest("delete", "--study", "tiny", "--yes").stderr
    )
    assert "removed 8 trials" in at_rest("delete", "--left", "--yes").stderr
    assert "nothing to remove" in at_rest("delete", "--left", "--yes").stderr
    assert json.loads(at_rest("trials", "--json").stdout)["trials"] == []


def test_run_prints_json_exits_1_after_a_failure_and_retry_queues_it_again(innate, tmp_path):
    study = {
        **TINY,
        "optimizers": [{"name": "sgd", "lr": 1e30}, {"name": "sgd", "lr": 0.3}],
        "seeds": 1,
        "activations": ["relu", "silu"],
    }
    (tmp_path / "s.toml").write_text(tomli_w.dumps(study))
    done = innate("run", str(tmp_path / "s.toml"), "--json", check=1)
    assert len(json.loads(done.stdout)["results"]) == 2
    assert "2 trials failed" in done.stderr
    failed = json.loads(innate("trials", "--state", "failed", "--json").stdout)["trials"]
    assert all("epoch 1" in row["reason"] for row in failed)
    innate("run", str(tmp_path / "s.toml"), "--json", check=1)
    assert "queued 1 trial" in innate("retry", failed[0]["trial_id"]).stderr
    states = [row["state"] for row in json.loads(innate("trials", "--json").stdout)["trials"]]
    assert sorted(states) == ["done", "done", "failed", "queued"]


def test_attack_tries_another_attack_without_training_and_delete_forgets(innate, home, tmp_path):
    (tmp_path / "s.toml").write_text(tomli_w.dumps({**TINY, "seeds": 1, "optimizers": [{"name": "adam", "lr": 0.02}]}))
    innate("run", str(tmp_path / "s.toml"), "-h")
    assert "epoch 2, loss" in innate("-v", "run", str(tmp_path / "s.toml")).stderr
    before = json.loads(innate("trials", "--json").stdout)["trials"]
    trial = before[0]["trial_id"]
    done = innate("attack", trial[:10], "--attack", "bim", "--eps", "0.1,51/255", "--set", "steps=3", "--json")
    added = json.loads(done.stdout)["results"]
    assert [(row["attack"], row["eps"]) for row in added] == [("bim", 0.1), ("bim", 0.2)]
    after = json.loads(innate("trials", "--json").stdout)["trials"]
    assert [row["final_digest"] for row in after] == [row["final_digest"] for row in before]
    assert {row["state"] for row in after} == {"done"}
    assert "eps" in innate("attack", trial, "--attack", "fgsm", "--eps", "2", check=2).stderr
    assert (home.checkpoints / trial).is_dir()
    innate("delete", trial, "--yes")
    assert not (home.checkpoints / trial).exists()
    assert len(json.loads(innate("trials", "--json").stdout)["trials"]) == len(before) - 1
    innate("delete", "--study", "tiny", "--yes")
    assert json.loads(innate("studies", "--json").stdout)["studies"] == []
    assert list(home.checkpoints.iterdir()) == []


def test_a_reason_is_whole_beside_long_names(monkeypatch):
    monkeypatch.setattr(queue, "width", lambda: 80)
    reason = "all 2 slots are busy, 12 before it"
    rows = [
        SimpleNamespace(study=study, trial_id=str(number) * 64, priority=9, waits_for=reason)
        for number, study in enumerate(["one", "another"])
    ]
    names = {(row.study, row.trial_id): f"{row.study}: tuning adadelta lr=0.0003162 sigmoid" for row in rows}
    *_, first, second = queue._queued(rows, names).splitlines()
    assert first.endswith(reason)
    assert second.endswith(reason)
    assert first.split()[1:-8] != second.split()[1:-8], "and the names stay different"
