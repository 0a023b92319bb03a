"""What the suite shares: where real data lies, a tiny study, homes, a home filled once by really training, a fork server, and
what only a thorough run tries."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import gc
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from app.main import main
from core.datasets import describe, parse_source
from core.executors.inline import InlineExecutor
from core.executors.lanes import LanesExecutor
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.records.data import DatasetInfo
from core.records.study import Plan
from core.study.plan import make_plan
from core.study.resolve import parse_study
from storage.home import Home, prepare

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("INNATE_DATA") or ROOT.parent / "shared" / "data")

settings.register_profile("suite", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("suite")

T = TypeVar("T")

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "architectures": [{"name": "mlp", "hidden": [24]}],
    "optimizers": [{"name": "adam", "lr": 0.02}, {"name": "sgd", "lr": 0.3}],
    "activations": ["relu", "tanh"],
    "seeds": 2,
    "train_samples": 300,
    "test_samples": 60,
    "training": {"epochs": 3, "batch_size": 32},
    "attacks": [
        {"name": "fgsm", "eps": [0.1, 0.2]},
        {"name": "pgd", "eps": [0.1, 0.2], "steps": 4},
    ],
    "audit": {"samples": 0},  # tests of audits ask for them
}


def thorough(everything: T, usually: T) -> T:
    """`everything` where INNATE_THOROUGH is set, as by `make thorough`; else `usually`: of parameters that ask for the same in
    other places, those that differ most, and of what is repeated at random, fewer."""
    return everything if os.environ.get("INNATE_THOROUGH") else usually


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """The garbage collector stays out of the imports of all tests, and does not look at what came of them ever after: they hold
    torch, and a third of the time of tests in this process went into that."""
    gc.disable()
    found = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return found


def tiny(**changes: Any) -> dict[str, Any]:
    """The tiny study's document with some keys changed."""
    return copy.deepcopy({**TINY, **changes})


def plan_of(document: dict[str, Any], cache: Path) -> Plan:
    return make_plan(parse_study(document, "test", Path("/")), cache / "no-data", cache)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded data sets, shared by the session's tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def digits_info(cache: Path) -> DatasetInfo:
    return describe(parse_source("digits", Path("/")), cache, cache)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    prepare(place)
    return place


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with full MNIST and the small colour sets, where this machine has it."""
    if not (REAL_DATA / "MNIST" / "raw").is_dir():
        pytest.skip(f"no real data at {REAL_DATA}: full MNIST, cifar10-mini and folder-mini were not tried")
    return REAL_DATA


Innate = Callable[..., subprocess.CompletedProcess[str]]

APART = {"wait", "start", "--detach"}
"""What starts a worker or waits for one, and so is a process in all tests."""
EXECUTORS = (
    "app.worker.cluster.LanesExecutor",
    "app.worker.importing.ProcessExecutor",
    "app.worker.reproduction.ProcessExecutor",
    "app.worker.timing.ProcessExecutor",
    "app.worker.transfers.ProcessExecutor",
)
"""What a command has its work done by; each starts a process that imports torch, which takes longer than a tiny study."""


def innate_command(
    *arguments: str,
    home: Path,
    check: int | None = 0,
    timeout: float = 300,
    works: bool | None = None,
    **environment: str,
) -> Any:
    """Run the program, offline in spirit: with an empty user folder. A process of its own where it `works` as one (by default
    with a worker, or with modules from elsewhere), and always in a thorough run; else it is called in this one, with whatever
    it trains or attacks."""
    environment = {"HOME": str(home.parent), "INNATE_DATA": str(home / "data"), **environment}
    if works is None:
        works = "PYTHONPATH" in environment or (not APART.isdisjoint(arguments) and "--help" not in arguments)
    if thorough(True, usually=works):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "app.main", "--home", str(home), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=home.parent,
            env={**os.environ, **environment},
            check=False,
        )
    else:
        done = answered(*arguments, home=home, **environment)
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def in_this_process(slots: Sequence[Slot], log: Path) -> InlineExecutor:
    """Stands for the executors that have processes of their own."""
    from core.jobs.run import run_job

    return InlineExecutor(run_job, len(slots))


def answered(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the program answers, called in this process: a start of Python takes longer than most answers."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(home.parent)
        patch.setattr(sys, "argv", ["innate", "--home", str(home), *arguments])
        patch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
        for executor in EXECUTORS:
            patch.setattr(executor, in_this_process)
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
    gc.collect()  # connections to databases end with the process that made them, and here with their last reference
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(list(arguments), code, *said)


@pytest.fixture
def innate(home: Home) -> Innate:
    """`innate(*arguments, check=0)` against this test's home."""
    return lambda *arguments, **options: innate_command(*arguments, home=home.root, **options)


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once for the whole run: xdist's other workers wait for it and use it too."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / name, root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def copy_home(home: Path, to: Path) -> None:
    """A copy of a home in which nothing works, to change at will; others may be reading it meanwhile."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("*-wal", "*-shm"))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the tiny study has been trained and attacked by the program itself. Tests only read it."""
    import tomli_w

    def run(folder: Path) -> None:
        (folder / "tiny.toml").write_text(tomli_w.dumps(TINY))
        innate_command("run", str(folder / "tiny.toml"), home=folder / "home", works=True)

    return shared(tmp_path_factory, "filled", run) / "home"


class Lasting(ProcessExecutor):
    """`close` ends the children and keeps their server, which takes longer to import torch than tests' jobs take to run."""

    def _launch(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))  # children unpickle odd jobs
            return super()._launch()

    def close(self) -> None:
        for key in [*self._children]:
            self.cancel(key, now=True)
        while self._children:
            self.messages(0.2)


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """Two processes for all tests, each of which leaves nothing under way."""
    made = Lasting([Slot("cpu", 1)] * 2, tmp_path_factory.mktemp("lasting") / "children.log")
    yield made
    ProcessExecutor.close(made)


class SharedLanes(LanesExecutor):
    """So many lanes on the CPU, hosted by somebody else's processes."""

    def __init__(self, lanes: int, processes: Lasting) -> None:
        super().__init__([Slot("cpu", 1, lanes=lanes)], processes._log)
        self._processes = processes


@pytest.fixture(autouse=True)
def _ordinary_arithmetic() -> Iterator[None]:
    """A trial run inside the test process flushes denormals, as it does in a child; hypothesis wants them back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
