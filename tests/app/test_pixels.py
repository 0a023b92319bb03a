"""Pictures as a terminal's own pixels: what is encoded can be decoded, and only a terminal that says so gets any."""

import base64
import contextlib
import os
import pty
import re
import threading
import zlib

import numpy as np
import pytest
from textual.app import SuspendNotSupported

from app.report import pixel_terminal
from app.report.pixels import kitty, mosaic, sixel
from app.tui.lab.views import pixels as real

PICTURES = {
    "grey": np.arange(13 * 17, dtype=np.uint8).reshape(13, 17, 1).repeat(3, axis=2),
    "few": np.random.default_rng(0).integers(0, 2, (14, 40, 3)).astype(np.uint8) * 255,
    "many": np.random.default_rng(1).integers(0, 256, (90, 80, 3)).astype(np.uint8),
}


def from_kitty(text):
    parts = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", text)
    assert "".join(f"\x1b_G{keys};{piece}\x1b\\" for keys, piece in parts) == text
    assert [keys[-3:] for keys, _ in parts[:-1]] == ["m=1"] * (len(parts) - 1)
    assert parts[-1][0].endswith("m=0")
    assert all(len(piece) <= 4096 and len(piece) % 4 == 0 for _, piece in parts)
    head = dict(pair.split("=") for pair in parts[0][0].split(","))
    data = zlib.decompress(base64.b64decode("".join(piece for _, piece in parts)))
    return np.frombuffer(data, np.uint8).reshape(int(head["v"]), int(head["s"]), 3)


def from_sixel(text):
    head, body = re.fullmatch('\x1bP0;0;0q"1;1;(\\d+;\\d+)(.*)\x1b\\\\', text).groups()
    width, height = map(int, head.split(";"))
    registers, colour = {}, 0
    picture = np.full((-(-height // 6) * 6, width, 3), -1.0)
    x = y = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|[$\-]|[?-~]", body):
        if token[0] == "#":
            number, *rest = map(int, token[1:].split(";"))
            if rest:
                registers[number] = np.array(rest[1:]) * 2.55
            else:
                colour = number
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            for bit in range(6):
                if (ord(token[-1]) - 63) >> bit & 1:
                    picture[y + bit, x : x + count] = registers[colour]
            x += count
    return picture[:height]


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_encoded_can_be_decoded(name):
    picture = PICTURES[name]
    assert np.array_equal(from_kitty(kitty(picture)), picture)
    found = from_sixel(sixel(picture))
    assert found.min() >= 0, "every pixel has a colour"
    most = 255 / 10 + 1.3 if name == "many" else 1.3  # half of a sixth's step, and a hundredth that is rounded
    assert np.abs(found - picture).max() <= most


def test_pictures_stand_in_rows_with_white_between():
    black, grey = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)
    made = mosaic([[black, grey], [None, black]], 2)
    assert made.shape == (2 * 2 * 2 + 2, 2 * 2 * 3 + 2, 3)
    assert made[0, :6].max() == 0
    assert made[0, 6:8].min() == 255
    assert made[0, 8:].tolist() == [[9] * 3] * 6
    assert made[4:6].min() == made[6:, :8].min() == 255


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "kitty"),
        ("\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\\x1b[?62;4;22c", "sixel"),
        ("\x1b[?1;2;4c", "sixel"),
        ("\x1b[?64;14;24c", None),
        ("", None),
    ],
)
def test_a_terminal_is_asked_and_left_as_it_was(answer, expected):
    import termios

    assert pixel_terminal.understood(answer) == expected
    terminal, program = pty.openpty()
    before = termios.tcgetattr(program)
    asked = []

    def reply():
        asked.append(os.read(terminal, 1000))
        os.write(terminal, answer.encode())

    thread = threading.Thread(target=reply)
    thread.start()
    try:
        assert pixel_terminal.understood(pixel_terminal._answer(program, program, 0.5)) == expected
    finally:
        thread.join()
        assert termios.tcgetattr(program) == before
        os.close(terminal)
        os.close(program)
    assert asked[0].endswith(b"\x1b[c")


@pytest.mark.parametrize("name", ["TMUX", "STY"])
def test_a_multiplexer_is_not_asked(monkeypatch, name):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, "x")
    monkeypatch.setattr(pixel_terminal, "_answer", lambda *where: pytest.fail("asked"))
    assert pixel_terminal.protocol() is None


# --- instead of the screens ---


def test_the_screens_pictures_stand_on_a_screen_of_their_own_until_a_key():
    import termios

    terminal, program = pty.openpty()
    before, came = termios.tcgetattr(program), []

    def person():
        text = b""
        while b"any key goes back" not in text:
            text += os.read(terminal, 4096)
        os.write(terminal, b"\x1b[A")  # a key of several characters
        while b"\x1b[?1049l" not in text:
            text += os.read(terminal, 4096)
        came.append(text.decode())

    thread = threading.Thread(target=person)
    thread.start()
    try:
        large = "x" * 100_000
        real.present(["adam: sample 3"], f"\x1b_Gq=2;{large}\x1b\\", real._FORGET["kitty"], program, program)
        real.forget_typed(program)
    finally:
        thread.join()
    assert termios.tcgetattr(program) == before
    os.set_blocking(program, False)
    with pytest.raises(BlockingIOError):
        os.read(program, 1)
    os.close(terminal)
    os.close(program)
    (text,) = came
    assert text.startswith("\x1b[?1049h")
    assert "adam: sample 3\r\n" in text
    assert large in text
    assert text.endswith("\x1b_Ga=d,q=2\x1b\\\x1b[?1049l"), "Kitty forgets the picture, the shell's lines come back"


class Screens:
    """Stands for an app that may step aside."""

    def __init__(self, able=True):
        self.able, self.times = able, 0

    @contextlib.contextmanager
    def suspend(self):
        if not self.able:
            raise SuspendNotSupported
        self.times += 1
        yield


def test_a_terminal_is_asked_once_and_only_where_it_may_have_pixels(monkeypatch):
    answers, presented = [None, "sixel"], []
    monkeypatch.setattr(pixel_terminal, "protocol", lambda seconds: answers.pop(0))
    monkeypatch.setattr(real, "present", lambda captions, pictures, *_: presented.append((captions, pictures)))
    monkeypatch.setattr(real, "forget_typed", lambda source: None)
    monkeypatch.setattr(real.sys, "stdin", open(os.devnull))  # noqa: SIM115, PTH123
    monkeypatch.setattr(real.sys, "stdout", open(os.devnull, "w"))  # noqa: SIM115, PTH123
    rows = [[PICTURES["few"], PICTURES["few"]]]
    monkeypatch.setattr(pixel_terminal, "unlikely", lambda: True)
    app, pixels = Screens(), real.RealPixels()
    assert "half blocks stay" in pixels.show(app, [], rows)
    assert (app.times, len(answers)) == (0, 2), "the screens do not even blink"
    monkeypatch.setattr(pixel_terminal, "unlikely", lambda: False)
    assert "step aside" in pixels.show(Screens(able=False), [], rows)
    for _ in range(2):
        assert "half blocks stay" in pixels.show(app, [], rows)
    assert (app.times, len(answers)) == (1, 1), "it has said that it has none"
    pixels = real.RealPixels()
    for _ in range(2):
        assert pixels.show(app, ["a caption"], rows) is None
    assert (app.times, len(answers)) == (3, 0)
    assert [captions for captions, _ in presented] == [["a caption"]] * 2
    assert np.abs(from_sixel(presented[0][1]) - mosaic(rows, 8)).max() <= 1.3
