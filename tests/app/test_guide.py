"""The guide says what is so: its commands run, its study file is a study, and what it lists is what there is."""

import re
import shlex
import shutil
import tomllib

import pytest
import typer

from app.main import app
from app.report.guide import STUDY, guide
from core.errors import ExitCode
from core.training.optimizers import OPTIMIZERS
from storage.home import Home
from storage.views import VIEWS
from tests.conftest import copy_home, innate_command

WORKS = ("run", "attack", "reproduce", "worker")
"""What trains, attacks or starts something that does: only taken apart here, as far as the command line goes."""
LONGEST = 160


def commands(page):
    """Every command of the page as its words, in their order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S)
    lines = "".join(blocks).replace("\n  ", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines]


def taken(words):
    """Take a command line apart, as far as its options and arguments go, and do nothing. Raises for what is none."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, list(words))


def test_it_is_one_page_of_plain_text(innate):
    page = innate("guide").stdout
    assert page == guide()
    assert len(page.splitlines()) <= LONGEST
    assert max(map(len, page.splitlines())) <= 80
    assert not re.search(r"[{}]{2}|\x1b", page)


def test_what_it_lists_is_what_there_is():
    page = " ".join(guide().split())
    for name in (*(entry.name for entry in OPTIMIZERS.values()), *(view.name for view in VIEWS)):
        assert re.search(rf"\b{name}\b", page), name
    assert all(f"{int(code)} " in page for code in ExitCode)


def test_its_study_is_a_study(innate, tmp_path):
    assert f"```toml\n{STUDY}```" in guide()
    assert set(tomllib.loads(STUDY)) >= {"architectures", "optimizers", "activations", "defenses", "seeds"}
    (tmp_path / "first.toml").write_text(STUDY, encoding="utf-8")
    assert "first: 24 trials" in innate("plan", "first.toml").stdout


def test_every_command_of_it_is_one(filled, tmp_path):
    home = Home(tmp_path / "home")
    copy_home(filled, home.root)
    shutil.copy(filled.parent / "tiny.toml", tmp_path / "first.toml")
    trial = re.search(r"^[0-9a-f]{10}", innate_command("trials", home=home.root).stdout, re.M)[0]
    page = guide().replace("--study first", "--study tiny").replace("report first", "report tiny")
    page = page.replace("study = 'first'", "study = 'tiny'").replace("TRIAL", trial)
    found = commands(page)
    assert len(found) >= 25
    done = 0
    for words in found:
        if words[0] in WORKS:
            taken(words)
            continue
        answer = innate_command(*words, home=home.root, check=None, works=False)
        assert answer.returncode == 0, f"{words}: {answer.returncode}\n{answer.stdout}\n{answer.stderr}"
        done += 1
    assert done >= 19
    assert (tmp_path / "site" / "metadata.json").exists()


@pytest.mark.parametrize("line", ["run first.toml --detached", "attack --studdy first", "worker begin", "run"])
def test_a_command_that_is_none_would_be_seen(line):
    with pytest.raises(Exception, match=r"(?i)no such option|missing parameter|begin"):
        taken(line.split())
