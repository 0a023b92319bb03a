"""The whole story in a real terminal (tmux) with a real worker: compose with keys alone, submit, watch, compare, export,
hang up, come back to the same."""

import os
import shutil
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not here: no real terminal was tried")


class Tmux:
    """One session of 80×24 with a shell of its own; `keys` go in as a person (or a script, all at once) would send them."""

    def __init__(self, folder):
        self.environment = {
            **os.environ, "TMUX_TMPDIR": str(folder), "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color",
        }  # fmt: skip
        self.environment.pop("TMUX", None)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh")

    def tmux(self, *arguments, check=True):
        return subprocess.run(
            ["tmux", *arguments], env=self.environment, capture_output=True, text=True, timeout=90, check=check
        ).stdout

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def until(self, *texts, seconds=120, absent=()):
        """Wait until all of `texts` (and none of `absent`) are on the screen; returns it."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(text in screen for text in texts) and not any(text in screen for text in absent):
                return screen
            assert time.monotonic() < deadline, f"{texts} not within {seconds} s (without {absent}):\n{screen}"
            time.sleep(0.1)

    def start(self, home):
        self.keys(f"{sys.executable} -P -m app.main --home {home}; echo left with $?", "Enter")

    def program(self, home):
        """The process of the screens."""
        return next(
            process
            for process in psutil.process_iter(["cmdline"])
            if (process.info["cmdline"] or [])[1:] == ["-P", "-m", "app.main", "--home", str(home)]
        )

    def close(self):
        self.tmux("kill-server", check=False)


@pytest.fixture
def terminal(tmp_path):
    folder = tmp_path / "tmux"
    folder.mkdir()
    made = Tmux(folder)
    yield made
    made.close()


def innate(home, *arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.main", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_study_composed_with_keys_alone_is_trained_compared_exported_and_found_again(terminal, tmp_path):
    home, table = tmp_path / "home", tmp_path / "runs.csv"
    terminal.start(home)
    terminal.until("Nothing has been run here yet")
    try:
        compose(terminal)
        terminal.until("mlp", "12 trials: all new")
        terminal.keys("S")
        terminal.until("y yes")
        terminal.keys("y")
        terminal.until("mine: 12 trials queued; worker started", "● ")
        terminal.until("● idle", seconds=120)
        terminal.keys("1")
        terminal.until("12/12 variants", "ANSWER", absent=["queued", "running"])
        terminal.keys("g", "none", "Tab", "Enter")
        terminal.until("12 runs", "done")
        terminal.keys("s", "innate", "Enter", "Space", "Space")
        terminal.until("2 marked", "by innate ▼")
        terminal.keys("d")
        terminal.until("[Differences]", "the other mark")
        terminal.keys("d")
        terminal.until("12 runs")
        terminal.keys("x", "C-u")
        terminal.keys(f"{table}", "Enter")
        terminal.until("wrote 12 rows")
        assert len(table.read_text().splitlines()) == 13
        worker = innate(home, "worker", "status", "--json").stdout
        assert '"alive": true' in worker
        terminal.close()  # the line drops
        time.sleep(1)
        again = Tmux(tmp_path / "tmux")
        terminal.environment = again.environment
        terminal.start(home)
        terminal.until("2 marked", "by innate ▼", "12 runs")
        assert '"alive": true' in innate(home, "worker", "status", "--json").stdout
        terminal.keys("q")
        terminal.until("left with 0")
    finally:
        innate(home, "worker", "stop", "--now")


def compose(terminal):
    """digits × mlp × what the first draft has, called mine."""
    terminal.keys("2")
    terminal.until("12 trials")
    terminal.keys("Tab", "Enter")
    terminal.until("⏎ accept")
    terminal.keys("C-u", "mine", "Enter")
    terminal.until("name      mine")
    terminal.keys("Tab", "j", "Tab", "/digits", "Enter", "Space")
    terminal.until("data set  digits")
    terminal.keys("Tab", "j", "Tab", "/mlp", "Enter", "Space", "/kumar", "Enter", "Space")
    terminal.until("mlp")


@pytest.mark.parametrize("number", ["TERM", "HUP"])
def test_a_signal_leaves_the_terminal_as_it_was(number, terminal, tmp_path):
    home = tmp_path / "home"
    terminal.start(home)
    terminal.until("Nothing has been run here yet")
    subprocess.run(["kill", f"-{number}", str(terminal.program(home).pid)], check=True)
    terminal.until("left with 0", absent=["Nothing has been run"])
    terminal.keys("stty -a | tr ' ' '\\n' | grep -c -x -e echo -e icanon", "Enter")
    terminal.until("\n2\n")


def test_a_fault_of_ours_leaves_the_terminal_and_a_sentence(terminal, tmp_path):
    home = tmp_path / "home"
    broken = (
        "import sys; sys.argv = ['innate', '--home', sys.argv[1]]; import app.tui.lab.screen as r; "
        "r.LabScreen.action_unmark = lambda self: 1 / 0; from app.main import main; main()"
    )
    home.mkdir()
    terminal.keys(f'{sys.executable} -c "{broken}" {home}; echo left with $?', "Enter")
    terminal.until("Nothing has been run here yet")
    terminal.keys("u")
    screen = terminal.until("left with 1", "the screens failed (ZeroDivisionError)")
    assert "Traceback" not in screen
    assert "ZeroDivisionError" in (home / "logs" / "tui.log").read_text()


def test_without_colours_and_on_an_old_terminal_everything_is_there(terminal, tmp_path):
    for setting in ("NO_COLOR=1", "TERM=screen", "TERM=xterm", "--no-color"):
        terminal.keys("clear", "Enter")
        option, variable = (setting, "") if setting.startswith("--") else ("", setting)
        terminal.keys(f"env {variable} {sys.executable} -P -m app.main {option} --home {tmp_path / 'home'}", "Enter")
        screen = terminal.until("1 Lab", "2 Compose", "5 Worker", "Nothing has been run here yet", "q quit")
        assert "○ no worker" in screen
        if setting in ("NO_COLOR=1", "--no-color"):
            coloured = terminal.tmux("capture-pane", "-p", "-e")
            assert not any(f"\x1b[{code}m" in coloured for code in ("31", "32", "33", "91", "92", "93"))
        terminal.keys("q")
        terminal.until("$", absent=["1 Lab"])


def test_it_is_stopped_and_continued_whole_and_draws_on_stdout_alone(terminal, tmp_path):
    home, log = tmp_path / "home", tmp_path / "log"
    terminal.keys(f"{sys.executable} -P -m app.main --home {home} 2>{log}; echo left with $?", "Enter")
    terminal.until("Nothing has been run here yet")
    terminal.keys("C-z")
    terminal.until("left with 1", "$", absent=["Nothing has been run"])
    terminal.keys("stty -a | tr ' ' '\\n' | grep -c -x -e echo -e icanon", "Enter")
    terminal.until("\n2\n")
    terminal.keys("fg", "Enter")
    terminal.until("1 Lab", "Nothing has been run here yet", "q quit")
    terminal.keys("3")
    terminal.until("Nothing is queued")
    pid = terminal.program(home).pid
    for stop, enter in (("TSTP", "Enter"), ("STOP", "C-j")):  # the second cannot be heard, and leaves the terminal raw
        subprocess.run(["kill", f"-{stop}", str(pid)], check=True)
        deadline = time.monotonic() + 60
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        terminal.keys("clear; fg", enter)
        terminal.until("1 Lab", "Nothing is queued", "q quit")
        terminal.keys("5")
        terminal.until("trials ended in the last hour", absent=["Nothing is queued"])
        terminal.keys("3")
        terminal.until("Nothing is queued")
    terminal.keys("q")
    terminal.until("$", absent=["1 Lab"])
    assert log.read_text() == ""


def test_a_terminal_that_can_only_print_gets_the_help(terminal, tmp_path):
    terminal.keys(f"TERM=dumb {sys.executable} -P -m app.main --home {tmp_path / 'home'}; echo left with $?", "Enter")
    terminal.until("worker", "Start here: innate run quick", "left with 0")
    assert not (tmp_path / "home").exists()
