"""Every command that writes a file, told to write it over a database: refused in a line, and nothing is touched."""

import contextlib
import io
import os
import signal
import sqlite3
import sys

import pytest

from app import main
from app.context import Context
from storage.home import Home
from tests.conftest import copy_home, tiny
from tests.faults.machinery import Lab

ENDINGS = {
    "sqlite": ".db",
    "csv": ".csv",
    "jsonl": ".jsonl",
    "trials": ".csv",
    "examples": ".png",
    "init": ".toml",
    "report": ".md",
}
"""The writers of one file, and the ending that each asks for."""


@pytest.fixture
def place(filled, tmp_path):
    """A copy of the filled home, and beside it a copy of its database for --db and one that is open elsewhere."""
    home = Home(tmp_path / "home")
    copy_home(filled, home.root)
    with contextlib.closing(sqlite3.connect(home.database)) as source:
        for name in ("other.db", "open.db"):
            source.execute("VACUUM INTO ?", (str(tmp_path / name),))
    opened = sqlite3.connect(tmp_path / "open.db", isolation_level=None)
    opened.execute("PRAGMA journal_mode = WAL")
    opened.execute("CREATE TABLE another (x)")
    yield home
    assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()


@pytest.fixture
def call(place, monkeypatch):
    """`call(*arguments)` in this process, as the command line would: (exit code, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["innate", "--home", str(place.root), *arguments])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main.main()
        return int(ended.value.code or 0), err.getvalue()

    return run


def command(writer, dest, trial, *, force):
    extra = ["--force"] if force else []
    match writer:
        case "trials":
            return ["trials", "-o", str(dest)]
        case "examples":
            return ["examples", trial, "-o", str(dest)]
        case "init":
            return ["init", str(dest)]
        case "report":
            return ["report", "-o", str(dest), *extra]
    return ["export", writer, str(dest), *extra]


def a_trial(place):
    with contextlib.closing(sqlite3.connect(place.database)) as db:
        return str(db.execute("SELECT id FROM trial LIMIT 1").fetchone()[0])


def state(folder):
    """Every file with its content; what SQLite keeps beside an open database changes by being read."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and not path.name.endswith(("-shm", "-wal"))
    }


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("writer", ENDINGS)
def test_no_writer_touches_a_database_in_use(writer, force, place, call, tmp_path, monkeypatch):
    folder = tmp_path / "dests"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ending = ENDINGS[writer]
    trial = a_trial(place)
    targets = {"home": place.database, "other": tmp_path / "other.db", "open": tmp_path / "open.db"}
    dests = []
    for name, target in targets.items():
        (folder / f"sym-{name}{ending}").symlink_to(target)
        dests.append((name, folder / f"sym-{name}{ending}"))
        if name != "open":  # a second name of the file of which nobody here knows that it is open
            os.link(target, folder / f"hard-{name}{ending}")
            dests.append((name, folder / f"hard-{name}{ending}"))
        (folder / f"log-{name}{ending}").symlink_to(f"{target}-wal")
        dests.append((name, folder / f"log-{name}{ending}"))
        if writer in ("sqlite", "csv", "jsonl", "init"):  # the others ask for an ending
            dests += [(name, target), (name, os.path.relpath(target)), (name, f"{target}-wal"), (name, f"{target}-shm")]
    before = state(tmp_path)
    for name, dest in dests:
        options = ["--db", str(targets["other"])] if name == "other" else []
        code, err = call(*options, *command(writer, dest, trial, force=force))
        assert (code, err.count("\n")) == (2, 1), (dest, err)
        assert err.startswith(f"innate: {dest}: "), err
        assert "name another" in err
        assert "--force" not in err
    assert state(tmp_path) == before
    with contextlib.closing(sqlite3.connect(place.database)) as db:
        assert db.execute("SELECT count(*) FROM v_trials").fetchone() == (8,)


@pytest.mark.parametrize("link", ["symlink", "hardlink"])
@pytest.mark.parametrize("inside", ["manifest.json", "weights"])
def test_weights_are_all_written_or_none(inside, link, place, call, tmp_path):
    trial = a_trial(place)
    dest = tmp_path / "w"
    dest.mkdir()
    name = dest / (f"{trial[:10]}.pt" if inside == "weights" else inside)
    name.symlink_to(place.database) if link == "symlink" else os.link(place.database, name)
    before = state(tmp_path)
    for folder in (dest, place.checkpoints, place.checkpoints / "new"):
        code, err = call("export", "weights", str(folder), "--force")
        assert (code, err.count("\n")) == (2, 1), err
    assert state(tmp_path) == before
    code, err = call("export", "weights", str(place.database), "--force")
    assert (code, "innate itself uses" in err) == (2, True)
    assert call("export", "weights", str(tmp_path / "fresh"))[0] == 0
    assert len(list((tmp_path / "fresh").iterdir())) == 9
    assert call("export", "weights", str(tmp_path / "fresh"))[0] == 2
    assert call("export", "weights", str(tmp_path / "fresh"), "--force")[0] == 0


def test_the_first_database_of_a_fresh_home_is_not_a_study_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["innate", "--home", str(tmp_path), "init", str(tmp_path / "innate.db")])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert not (tmp_path / "innate.db").exists()


def test_the_screens_say_so_before_they_are_asked_to(place, tmp_path):
    context = Context(place, place.database, read_only=False, colour=False, quiet=True, verbose=False)
    (tmp_path / "runs.csv").symlink_to(place.database)
    assert "innate itself uses" in context.refusal(tmp_path / "runs.csv")
    assert "beside it" in context.refusal(tmp_path / "open.db")
    assert context.refusal(tmp_path / "study.toml") is None


def test_a_living_worker_goes_on(tmp_path):
    lab = Lab(tmp_path)
    study = tiny(seeds=1, optimizers=["adam"], activations=["relu"])
    try:
        lab.innate("run", lab.study(study), "--detach", "--slots", "1")
        worker = lab.worker()
        for path in (lab.home / "innate.db", lab.home / "innate.db-wal", lab.home / "worker.lock"):
            assert "innate itself uses" in lab.asked("export", "sqlite", str(path), "--force", code=2)[1]
        lab.innate("wait")
        assert lab.query("SELECT DISTINCT state FROM v_trials") == [("done",)]
        assert lab.worker().pid == worker.pid
        lab.asked("worker", "stop")
        assert worker.wait(10) in (None, 0, -signal.SIGTERM)
    finally:
        lab.close()
