"""What leaves for a terminal, a pipe or a file: characters, cells, streams that are full or gone, and the limits of a machine."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from app.cli.output import emit_json
from app.cli.progress import console_for_stderr
from app.report.document.markdown import _plain
from app.report.document.svg import escaped
from app.report.text import distinct, table, wrapped
from app.report.toml import toml_value
from app.report.whiskers import Whisker, estimates
from app.terminal import scarce
from app.terminal.cells import blanked
from app.terminal.characters import lookalike, visible
from app.terminal.streams import ReaderGone, Stream, Unwritable, undisturbed
from app.tui.widgets.harmless import Harmless
from core.datasets import parse_source
from core.errors import BadInput, InnateError, Unavailable
from core.study.resolve import load_study
from storage.destinations import in_use, refuse_in_use
from storage.export import beside
from storage.home import Home, locate
from tests.conftest import ROOT, innate_command, tiny

HARM = "a\x1b[31mb\x9b2Jc\u202ed\re\x07f\x7fg\u2028h\udcffi"
SHOWN = r"a\x1b[31mb\x9b2Jc\u202ed\re\x07f\x7fg\u2028h\xffi"
CJK = "数据猫"
"""Three characters, six cells."""


# --- characters and cells ---


def test_what_could_command_a_terminal_is_written_out():
    assert visible(HARM) == SHOWN
    assert visible("two\nlines\tof ε ─ 猫 é 👩‍👩‍👧") == "two\nlines\tof ε ─ 猫 é 👩‍👩‍👧"
    assert visible("a\nb\tc", in_cell=True) == r"a\nb\tc"
    assert visible("\x1b[38;5;6mcyan\x1b[0m\x1b[2J", drawing=True) == "\x1b[38;5;6mcyan\x1b[0m\\x1b[2J"
    assert cell_len(blanked(HARM)) == cell_len(HARM)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk", "utf-8"])
def test_every_encoding_shows_something_for_everything(encoding, tmp_path):
    told = "ℓ∞ ε ≤ 0.1 × √2 – 8×8 · α … → ├──●─┤ │ ▁▇█░ ⠋ é 猫 Å\udcff"
    with (tmp_path / "out").open("wb") as file:
        stream = Stream(os.dup(file.fileno()), encoding, needed=True)
        stream.write(told)
        stream.flush()
    written = (tmp_path / "out").read_bytes().decode(encoding)
    assert r"\xff" in written
    if encoding == "ascii":
        assert written == r"linf eps <= 0.1 x sqrt 2 - 8x8 - alpha ~ -> +--o-+ | ##_. * e ? A\xff".replace(
            "##_.", "###."
        )
    assert all(lookalike(character).isascii() and lookalike(character) for character in told)


def test_json_and_toml_say_the_same_without_harm(capsys):
    emit_json("rows", [{"name": HARM.replace("\udcff", "")}])
    said = capsys.readouterr().out
    assert "\\u009b" in said
    assert visible(said) == said
    assert json.loads(said)["rows"] == [{"name": HARM.replace("\udcff", "")}]
    for text in (HARM.replace("\udcff", ""), CJK):
        value = toml_value(text)
        assert visible(value) == value
        assert tomllib.loads(f"x = {value}") == {"x": text}


def test_reports_have_no_harm():
    for written in (_plain(HARM), escaped(HARM), table(["x"], [[HARM]], 80), distinct([visible(HARM)], 200)[0]):
        assert visible(written) == written


def test_screens_take_harm_out_of_every_line_but_not_out_of_what_textual_commands():
    control = Segment("\x1b[2J", None, [(1,)])
    assert Harmless().apply([Segment(HARM), control], Color(0, 0, 0)) == [Segment("a[31mb2Jcdefgh i"), control]


def test_tables_count_cells_and_a_row_stays_a_line():
    rows = [[CJK, "1"], ["e\u0301mo", "22"], ["a\nb\x1b", "3"], ["plain", "4"]]
    lines = table(["name", "n"], rows, 80, right=[1]).splitlines()
    assert len(lines) == 6
    assert {cell_len(line) for line in lines} == {cell_len("数据猫   n") + 2}
    cut = table(["name", "n"], [[CJK * 9, "1"]], 20, fill=0).splitlines()
    assert max(map(cell_len, cut)) == 20
    assert cut[-1].endswith("…   1") or cut[-1].endswith("…  1")


def test_names_are_cut_and_prose_is_folded_by_cells():
    names = [f"{CJK * 3}{end}" for end in "ab"]
    assert all(cell_len(name) <= 12 for name in distinct(names, 12))
    assert len(set(distinct(names, 12))) == 2
    folded = wrapped([f"{CJK * 20} and words"], 30)
    assert max(map(cell_len, folded)) <= 30
    assert "".join(part.strip() for part in folded).replace(" ", "").startswith(CJK * 20)
    drawn = estimates("t", [Whisker(CJK, 50.0, 40.0, 60.0, ""), Whisker("a", 50.0, 40.0, 60.0, "")], 100.0, 60)
    first, second = drawn.splitlines()[1:3]
    assert cell_len(first[: first.index("●")]) == cell_len(second[: second.index("●")])


# --- streams that take no more ---


def broken(kind):
    """A descriptor that takes nothing."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(("kind", "error"), [("full", Unwritable), ("gone", ReaderGone)])
def test_narration_is_lost_in_silence_and_data_once_with_a_word(kind, error):
    lost = Stream(broken(kind), "utf-8", needed=False)
    for _ in range(3):
        print("a word", file=lost, flush=True)
        print("a redrawn display", file=undisturbed(lost), flush=True)
    data = Stream(broken(kind), "utf-8", needed=True)
    data.write("rows")
    with pytest.raises(error):
        data.flush()
    data.write("more")
    data.flush()  # as Python does at its end


def test_what_goes_undisturbed_is_not_written_out():
    reader, writer = os.pipe()
    stream = Stream(writer, "utf-8", needed=True)
    undisturbed(stream).write("\x1b[2K")
    undisturbed(stream).flush()
    assert os.read(reader, 100) == b"\x1b[2K"
    other = io.StringIO()
    assert undisturbed(other) is other


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_colours_that_are_forced_bring_no_display_into_a_log(monkeypatch, capsys, term):
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not console_for_stderr(colour=True).is_terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert console_for_stderr(colour=True).is_terminal == (term != "dumb")


# --- limits ---


def test_what_a_machine_refuses_is_a_line(monkeypatch):
    assert "ulimit -n" in scarce.told(OSError(24, "Too many open files", "x"))
    assert scarce.told(OSError(28, "No space left on device", "some/file")).startswith("some/file: ")
    assert "ulimit -v" in scarce.told(MemoryError())
    assert "ulimit -v" in scarce.told(ImportError("libx.so: failed to map segment from shared object"))
    assert scarce.told(ImportError("No module named x")) is None
    assert scarce.told(ValueError("a fault of ours")) is None
    monkeypatch.setattr(scarce, "allow_files", lambda: 70)
    scarce.refuse_few_files(3)
    with pytest.raises(Unavailable, match=r"only 70 open files are allowed, 72 are needed for 4 slots: ulimit -n 256"):
        scarce.refuse_few_files(4)


# --- the command itself ---

START = """
import atexit, os, resource, signal, sys
at = os.environ.get("AT")
def interrupt(event, arguments):
    if event == "import" and arguments[0] == at:
        os.kill(os.getpid(), signal.SIGINT)
if at == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
elif at:
    sys.addaudithook(interrupt)
"""
"""A sitecustomize: Ctrl-C at a moment of the command's own life."""


def command(*arguments, home, redirected="", before="", python=(), **environment):
    """The launcher, as the shell starts it with these redirections."""
    line = f'{before} exec "$@" {redirected}'
    launcher = [sys.executable, *python, str(ROOT / "app" / "innate_launcher" / "__main__.py")]
    return subprocess.run(
        ["bash", "-c", line, "bash", *launcher, "--home", str(home), *arguments],
        capture_output=True,
        timeout=120,
        cwd=home.parent,
        env={**os.environ, "INNATE_DATA": str(home.parent / "data"), **environment},
    )


def test_a_closed_stderr_is_not_the_database(home, innate):
    innate("worker", "pause")
    done = command("worker", "resume", "--json", home=home.root, redirected="2>&- <&-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["worker"]
    assert home.database.read_bytes().startswith(b"SQLite format 3\0")
    innate("worker", "status")


@pytest.mark.slow
def test_a_study_is_trained_whatever_becomes_of_its_words(home, innate, tmp_path):
    study = tiny(seeds=1, optimizers=[{"name": "adam", "lr": 0.02}], activations=["relu"])
    (tmp_path / "study.toml").write_text(tomli_w.dumps(study))
    done = command("run", "study.toml", home=home.root, redirected="2>/dev/full >/dev/full <&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")
    (trial,) = json.loads(innate("trials", "--json").stdout)["trials"]
    assert trial["state"] == "done"


def test_data_that_cannot_be_written_is_a_line_and_a_pipe_that_is_closed_is_none(home):
    full = command("attacks", home=home.root, redirected=">/dev/full")
    assert (full.returncode, full.stderr.decode()) == (
        2,
        "innate: standard output cannot be written: No space left on device\n",
    )
    gone = command("attacks", home=home.root, redirected="| true; exit ${PIPESTATUS[0]}")
    assert gone.returncode in (0, 141)
    assert gone.stderr == b""


def test_a_locale_of_ascii_gets_ascii_and_json_in_utf8(home, innate, tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = command("attack", "--help", home=home.root, **ascii_only)
    assert "eps" in shown.stdout.decode("ascii")
    refused = command("note", CJK, home=home.root, **ascii_only)
    assert refused.returncode == 2
    assert "no text in ascii" in refused.stderr.decode("ascii")


@pytest.mark.parametrize("moment", ["app.main", "storage.home", "the end"])
def test_an_interrupt_at_any_moment_is_130_without_a_traceback(home, tmp_path, moment):
    (tmp_path / "sitecustomize.py").write_text(START)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    try:
        done = command("studies", home=home.root, PYTHONPATH=str(tmp_path), AT=moment)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130
    assert b"Traceback" not in done.stderr


def test_too_few_open_files_are_a_line(home):
    done = command("studies", home=home.root, before="ulimit -n 12;")
    assert done.returncode == 4
    (line,) = done.stderr.decode().splitlines()
    assert "only 12 open files are allowed" in line
    assert "ulimit -n 256" in line


def test_a_file_that_grows_too_large_leaves_nothing_behind(home, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with (
            pytest.raises(BadInput, match=r"x\.csv: cannot be written: File too large"),
            beside(tmp_path / "x.csv", in_use(home, home.database), force=False) as partial,
        ):
            partial.write_bytes(b"rows")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [one for one in tmp_path.iterdir() if "x.csv" in one.name]


# --- paths and study files ---


def unusable(folder):
    """Case → a path and what is said of it."""
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    (folder / "to nowhere").symlink_to(folder / "nowhere")
    (folder / "file").touch()
    return [
        ("", "is empty"),
        ("~nobody-at-all/x", "no such user"),
        (str(folder / "one" / "x"), "in a circle"),
        (str(folder / "\udcff"), "not UTF-8"),
        ("x" * 300, "too long"),
        ("x/" * 3000, "too long"),
        ("a\0b", "null character"),
        (str(folder / "file"), "is no folder"),
        (str(folder / "file" / "x"), "is no folder"),
        ("/dev/null/x", "is no folder"),
        (str(folder / "to nowhere"), "which is not there"),
    ]


def test_what_can_be_no_home_is_a_line_that_names_it(tmp_path, monkeypatch):
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    for path, why in unusable(tmp_path):
        with pytest.raises(BadInput, match=why) as refused:
            locate(path)
        assert str(refused.value).startswith("--home: '")
        if path and "\0" not in path:
            monkeypatch.setenv("INNATE_HOME", path)
            with pytest.raises(BadInput, match=r"^INNATE_HOME: '"):
                locate(None)
    monkeypatch.setenv("INNATE_HOME", "")
    assert locate(None).root.name == "innate"
    assert not any(place.iterdir())


def test_what_can_be_no_path_is_refused_wherever_it_is_given(tmp_path, monkeypatch, home):
    own = in_use(home, home.database)
    for path, why in unusable(tmp_path)[1:7]:
        for give in (
            lambda path=path: load_study(path),
            lambda path=path: parse_source(f"npz:{path}", tmp_path),
            lambda path=path: parse_source({"folder": path}, tmp_path),
            lambda path=path: refuse_in_use(Path(path), own),
        ):
            with pytest.raises(BadInput, match=why):
                give()
        if "\0" not in path:
            monkeypatch.setenv("INNATE_DATA", path)
            with pytest.raises(BadInput, match=why):
                _ = Home(tmp_path).data_root


def test_a_deleted_current_folder_is_missed_only_where_it_is_needed(tmp_path, monkeypatch):
    from core.study.resolve import load_study

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert locate(str(tmp_path)).root == tmp_path
    assert load_study("quick").name == "quick"
    for give in (lambda: locate("here"), lambda: load_study("x.toml")):
        with pytest.raises(BadInput, match="current folder, which was deleted"):
            give()
    monkeypatch.chdir(tmp_path)


def piped(content):
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


def test_a_study_may_come_through_a_pipe_with_a_mark_and_any_line_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = tomli_w.dumps(tiny(dataset="npz:there.npz"))
    reader = piped(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    study = load_study(f"/dev/fd/{reader}")
    os.close(reader)
    assert (study.name, study.source.path) == ("tiny", tmp_path / "there.npz")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('name = "x"'.encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
        (b'name = "x"\n# caf\xe9', "is not UTF-8: byte 0xe9 at line 2, column 6; save it as UTF-8"),
    ],
)
def test_another_encoding_of_a_study_file_is_named(tmp_path, content, why):
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(InnateError) as refused:
        load_study(str(tmp_path / "s.toml"))
    assert str(refused.value) == f"{tmp_path}/s.toml: {why}"


def test_exports_go_to_stdout_as_they_go_to_a_file(filled, tmp_path):
    for kind in ("csv", "jsonl"):
        done = innate_command("export", kind, "-", home=filled)
        innate_command("export", kind, str(tmp_path / kind), home=filled)
        assert done.stdout.replace("\r\n", "\n") == (tmp_path / kind).read_text(encoding="utf-8").replace("\r\n", "\n")
        assert "wrote" in done.stderr
    assert "only csv and jsonl can go to stdout" in innate_command("export", "sqlite", "-", home=filled, check=2).stderr
