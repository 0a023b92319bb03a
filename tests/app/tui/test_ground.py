"""What the terminal says of its ground, in one piece or in several, or never; and nothing of it is taken for keys."""

import itertools
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.shell.ground import LATEST, Asked, Ground, is_dark, told_by
from app.tui.shell.terminal import GroundKnown, Terminal

DARK, LIGHT = b"\x1b]11;rgb:1616/1616/1e1e\x1b\\", b"\x1b]11;rgb:fa/fa/fa\x07"
KIND = b"\x1b[?62;22c"


def asked(environment=None):
    ground = Ground(environment or {})
    ground.owed_until = time.monotonic() + LATEST
    return ground


@pytest.mark.parametrize(
    ("answer", "dark"),
    [
        (DARK, True),
        (LIGHT, False),
        (b"\x1b]11;rgba:0000/0000/0000/ffff\x07", True),
        (b"\x1b]11;?\x07", None),
        (b"", None),
    ],
)
def test_the_answer_is_read_and_nothing_else_is_taken(answer, dark):
    ground = asked()
    assert ground.take(b"ab" + answer + b"c" + KIND + b"d") == b"abcd"
    assert ground.dark is dark
    assert not ground.owed


@given(st.lists(st.integers(0, 40), max_size=5), st.sampled_from([DARK, LIGHT]))
def test_in_whatever_pieces_it_comes(cuts, answer):
    ground, whole = asked(), b"x" + answer + KIND + b"y"
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    out = b"".join(ground.take(whole[one:other]) for one, other in itertools.pairwise(places))
    assert out + ground.rest() == b"xy"
    assert ground.dark is (answer == DARK)


def test_what_looked_like_its_beginning_and_was_typed_is_given_back():
    ground = asked()
    assert ground.take(b"a\x1b") == b"a"
    assert ground.rest() == b"\x1b"
    assert ground.take(b"\x1b[A") == b"\x1b[A"


def test_once_nothing_is_owed_everything_is_typed():
    ground = Ground({})
    assert ground.take(DARK) == DARK
    assert ground.dark is None


@pytest.mark.parametrize(
    ("value", "dark"),
    [
        ("15;0", True),
        ("0;15", False),
        ("0;default;7", False),
        ("12;8", True),
        ("", None),
        ("15;default", None),
        ("1;99", None),
    ],
)
def test_a_variable_tells_it_where_the_terminal_does_not(value, dark):
    assert told_by(value) is dark
    assert Ground({"COLORFGBG": value}).dark is dark


def test_the_terminals_word_counts_more_than_the_variable():
    ground = asked({"COLORFGBG": "15;0"})
    ground.take(LIGHT + KIND)
    assert ground.dark is False


def test_bright_colours_are_light():
    assert is_dark(0, 0, 1)
    assert not is_dark(1, 1, 0)


def test_an_answer_that_comes_late_changes_the_ground_and_presses_no_key():
    theirs, ours = os.pipe()
    asking = object.__new__(Asked)
    asking.ground, asking.typed = asked(), b"1"
    keys, told = [], []
    driver = object.__new__(Terminal)
    driver._asked, driver.fileno, driver.exit_event, driver._debug = asking, theirs, threading.Event(), False
    driver.process_message = lambda event: keys.append(event.key)
    driver.send_message = lambda event: told.append((type(event), asking.ground.dark))
    pieces = ["ä".encode()[:1], "ä".encode()[1:] + b"2\x1b]11;rgb:ff", b"ff/ffff/ffff\x1b", b"\\3", KIND[:4], KIND[4:]]

    def say():
        for piece in pieces:
            os.write(ours, piece)
            time.sleep(0.01)

    terminal = threading.Thread(target=say)
    terminal.start()
    driver._until_answered(asking)
    terminal.join()
    assert "".join(keys) == "1ä23"
    assert told == [(GroundKnown, False)]
    os.close(theirs)
    os.close(ours)


SCRIPT = """
import sys, time
from app.tui.shell.ground import Asked
with Asked() as asked:
    time.sleep(0.2)
    begun = time.monotonic()
    asked.answer()
    print("told", asked.ground.dark, asked.typed, time.monotonic() - begun < 2, flush=True)
"""


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (LIGHT + b"2" + KIND, b"told False b'2' True"),
        (KIND, b"told None b'' True"),
        (b"", b"told None b'' True"),
    ],
)
def test_it_never_hangs_and_leaves_nothing_on_the_screen(answer, told):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in os.environ.items() if name != "COLORFGBG"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, env=environment)
    shown, deadline = b"", time.monotonic() + 60
    # A line comes in as many pieces as the kernel likes.
    while not re.search(rb"told.*\n", shown) and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 4096)
            if shown.endswith(b"\x1b[c"):
                os.write(ours, answer)
    assert process.wait(30) == 0
    assert told in shown
    assert b"rgb" not in shown.replace(b"\x1b]11;?", b""), "an answer was echoed"
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
