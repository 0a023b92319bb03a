"""What a wheel and an sdist hold, and the installed command beside somebody else's `app`, `core` and `storage`: real
processes, from a wheel and an editable install in environments of their own. The dependencies come from the environment that
runs the tests."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import tomli_w

from tests.conftest import ROOT, thorough, tiny

FOREIGN = 'raise ImportError("somebody else\'s code was imported")\n'
SITE = """\
import os, sys, types
sys.modules["app"] = sys.modules["core.errors"] = types.ModuleType("somebody's")
with open(os.environ["SEEN"], "a") as seen:
    print(*sys.orig_argv, file=seen)
"""
"""A sitecustomize, found through PYTHONPATH by every process that heeds it."""
STUDY = tiny(seeds=1, optimizers=[{"name": "adam", "lr": 0.02}], activations=["relu"])


class Installed:
    """An environment with nothing but innate in its own site-packages."""

    def __init__(self, folder, *arguments):
        self.python = folder / "bin" / "python"
        self.command = folder / "bin" / "innate"
        venv.create(folder, symlinks=True)
        (self.site,) = (folder / "lib").glob("python*/site-packages")
        # Not processed as a site folder: the .pth files in it, such as that of an editable innate, have no effect.
        (self.site / "dependencies.pth").write_text(str(Path(find_spec("torch").origin).parents[1]))
        pip(f"--python={self.python}", "install", "--ignore-installed", *arguments)

    def innate(self, *arguments, home, cwd, code=0, **environment):
        done = subprocess.run(
            [str(self.command), "--home", str(home), *arguments],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=cwd,
            env={**os.environ, "HOME": str(home.parent), "INNATE_DATA": str(home / "data"), **environment},
        )
        assert code in (done.returncode, None), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def pip(*arguments):
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, "--no-deps", "--no-index",
         "--no-build-isolation"],
        check=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("PIP_")},
    )  # fmt: skip


def git(folder, *arguments):
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the repository has of the packages and of what builds them, as the only commit of a repository of its
    own: building leaves folders behind."""
    folder = tmp_path_factory.mktemp("source")
    ours = ("app", "core", "storage", ".ci", "pyproject.toml", "README.md", "LICENSE", ".gitignore")
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", *ours).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "all of it")
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--wheel-dir", str(folder), str(source))
    (file,) = folder.glob("innate-*.whl")
    return file


@pytest.fixture(params=["wheel", "editable"], scope="module")
def installed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "environment"
    if request.param == "wheel":
        return Installed(folder, str(request.getfixturevalue("wheel")))
    return Installed(folder, "--editable", str(request.getfixturevalue("source")))


def contents(wheel):
    """Every file of a wheel: its name, its bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_wheel_holds_the_packages_with_their_data_and_nothing_else(source, wheel):
    (about,) = {name.partition("/")[0] for name in contents(wheel)} - {"app", "core", "storage", "innate_launcher"}
    assert about.endswith(".dist-info")
    packed = {name for name in contents(wheel) if not name.startswith(about)}
    tracked = git(source, "ls-files", "app", "core", "storage").splitlines()
    ours = {name.removeprefix("app/") if name.startswith("app/innate_launcher/") else name for name in tracked}
    assert packed == {*ours, "core/revision.json"}
    assert any(not name.endswith(".py") for name in tracked)


def test_an_sdist_holds_what_builds_the_same_wheel_and_nothing_else(source, wheel, tmp_path):
    def build(kind, tree):
        hook = f"import sys; sys.path.insert(0, '.ci'); import building; building.build_{kind}({str(tmp_path)!r})"
        subprocess.run([sys.executable, "-c", hook], cwd=tree, check=True, capture_output=True)

    build("sdist", source)
    (sdist,) = tmp_path.glob("innate-*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path)
    tree = tmp_path / sdist.name.removesuffix(".tar.gz")
    unpacked = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()}
    setuptools_own = {name for name in unpacked if name.startswith("innate.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    tracked = set(git(source, "ls-files").splitlines()) - {".gitignore", ".ci/run", ".ci/lowest.py"}
    assert unpacked == tracked | setuptools_own | {"core/revision.json"}

    left = tree / "build" / "lib" / "core" / "of_an_earlier_build.py"
    left.parent.mkdir(parents=True)
    left.touch()
    build("wheel", tree)
    (again,) = tmp_path.glob("innate-*.whl")
    assert contents(again) == contents(wheel)


def packages(folder, *names):
    """Somebody's project: `core` is a package, `core.py` a module."""
    for name in names:
        file = folder / name if name.endswith(".py") else folder / name / "__init__.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FOREIGN)
    return folder


def test_a_command_runs_its_own_packages_whatever_lies_on_the_path(installed, tmp_path):
    for number, names in enumerate([["app"], ["core"], ["core.py"], ["storage"], ["app.py", "core", "storage.py"]]):
        project = packages(tmp_path / str(number), *names)
        done = installed.innate("studies", "--json", home=tmp_path / "home", cwd=project, PYTHONPATH=".")
        assert json.loads(done.stdout)["studies"] == []


@pytest.mark.parametrize("installed", thorough(["wheel", "editable"], usually=["wheel"]), indirect=True)
def test_a_trial_is_trained_beside_foreign_packages(installed, source, tmp_path):
    project = packages(tmp_path / "project", "app", "core", "storage")
    (project / "sitecustomize.py").write_text(SITE)
    (project / "study.toml").write_text(tomli_w.dumps(STUDY))
    early = packages(tmp_path / "early", "app.py", "core.py", "storage.py")
    (installed.site / "early.pth").write_text(f"import sys; sys.path.insert(0, {str(early)!r})\n")
    environment = {"PYTHONPATH": ".", "SEEN": str(tmp_path / "seen")}

    def innate(*arguments, code=0):
        return installed.innate(*arguments, home=tmp_path / "home", cwd=project, code=code, **environment)

    try:
        innate("worker", "start", "--slots", "1")
        innate("run", "study.toml")
        (trial,) = json.loads(innate("trials", "--json").stdout)["trials"]
        assert trial["state"] == "done"
        (shown,) = json.loads(innate("show", trial["trial_id"], "--json").stdout)["trial"]
        assert shown["attempts"][0]["environment"]["git_revision"] == git(source, "rev-parse", "HEAD")
        innate("worker", "stop")
    finally:
        innate("worker", "stop", "--now", code=None)
        (installed.site / "early.pth").unlink()
    seen = (tmp_path / "seen").read_text()
    for process in ("bin/innate", "app.worker.daemon", "core.executors.fork_server"):
        assert process in seen, "PYTHONPATH is not in force everywhere"


def test_foreign_packages_in_site_packages_do_not_come_before_an_editable_install(source, tmp_path):
    installed = Installed(tmp_path / "environment", "--editable", str(source))
    packages(installed.site, "app", "core", "storage")
    said = installed.innate("--version", home=tmp_path / "home", cwd=tmp_path).stdout
    assert said == f"innate 0.1.0 (revision {git(source, 'rev-parse', 'HEAD')[:10]})\n"


def test_a_wheel_whose_files_are_gone_or_written_over_says_so_in_one_line(source, wheel, tmp_path):
    installed = Installed(tmp_path / "environment", str(wheel))
    said = installed.innate("--version", home=tmp_path / "home", cwd=tmp_path).stdout
    assert said == f"innate 0.1.0 (revision {git(source, 'rev-parse', 'HEAD')[:10]})\n"

    def refused():
        done = installed.innate("studies", home=tmp_path / "home", cwd=tmp_path, code=2)
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert "install innate again" in line
        return line

    (installed.site / "core" / "errors.py").unlink()
    assert f"{installed.site}/core/errors.py" in refused()
    packages(installed.site, "app", "app/main.py")
    assert f"{installed.site}/app/__init__.py and 2 more files" in refused()
    shutil.rmtree(installed.site / "core")
    assert "core/launch.py is missing" in refused()
