"""What the README says of the study in this folder is what the program says of it, and what lies here is fit to be published."""

import json
import re
import shlex
import sqlite3
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "study"
DATABASE = FOLDER / "study.db"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.toml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ASKED = re.compile(r"^\$ innate --db tests/study/study\.db (.+)\n((?:(?!\$ |```).*\n)*)", re.M)
"""A command about the study, and what stands below it up to the next one or the end of the block."""


def told(text, answer):
    """Whether `text` is `answer`; a line … stands for lines that were left out."""
    parts = [part.strip("\n") for part in re.split(r"^…$", text, flags=re.M)]
    lines = [part.splitlines() for part in parts]
    given = answer.rstrip("\n").splitlines()
    if len(parts) == 1:
        return lines[0] == given
    if given[: len(lines[0])] != lines[0] or given[len(given) - len(lines[-1]) :] != lines[-1]:
        return False
    at = len(lines[0])
    for part in lines[1:-1]:
        at = next((place for place in range(at, len(given)) if given[place : place + len(part)] == part), None)
        if at is None:
            return False
        at += len(part)
    return at <= len(given) - len(lines[-1])


def test_lines_that_are_left_out_are_all_that_may_be_missing():
    answer = "a\nb\nc\nd\n"
    assert told("a\nb\nc\nd\n", answer)
    assert told("a\n…\nd\n", answer)
    assert told("a\n…\nc\n…\n", answer)
    assert not told("a\n…\nc\n", answer), "the end is missing"
    assert not told("a\nc\nd\n", answer)
    assert not told("…\nc\n…\nb\n…\n", answer)


@pytest.mark.parametrize(("command", "text"), ASKED.findall(README))
def test_the_readme_tells_what_the_study_answers(command, text, innate):
    answer = innate("--db", str(DATABASE), *shlex.split(command)).stdout
    assert told(text, answer), answer


def test_the_readme_opens_with_the_answer():
    sections = README.split("\n## ")
    assert sections[1].startswith("The answer")
    assert len(ASKED.findall(sections[1])) == len(ASKED.findall(README)) >= 4


@pytest.fixture(scope="module")
def published():
    db = sqlite3.connect(f"file:{DATABASE}?mode=ro&immutable=1", uri=True)
    yield db
    db.close()


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_of_this_folder_is_in_it_as_it_is_written_and_done(study, published):
    (document,) = published.execute("SELECT document FROM study WHERE name = ?", [study]).fetchone()
    assert json.loads(document) == tomllib.loads((FOLDER / f"{study}.toml").read_text(encoding="utf-8"))
    states = published.execute("SELECT state, count(*) FROM v_trials WHERE study = ? GROUP BY 1", [study]).fetchall()
    assert [state for state, _ in states] == ["done"]


def test_it_holds_no_weights_no_images_and_nothing_of_the_machine(published):
    assert DATABASE.stat().st_size < 20e6
    assert published.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert published.execute("SELECT count(*) FROM example").fetchone() == (0,)
    content = DATABASE.read_bytes()
    for place in ("/tmp/", str(ROOT), str(Path.home())):
        assert place.encode() not in content, place
