"""Real processes of the real program, for the fault tests: start it, find its family, ask the database what is true."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import psutil
import tomli_w

from tests.conftest import innate_command, tiny

STUDY = tiny(training={"epochs": 12, "batch_size": 16}, train_samples=800, audit={"samples": 6})
MEDIUM = tiny(
    name="medium",
    optimizers=[{"name": "adam", "lr": 0.02}],
    training={"epochs": 60, "batch_size": 16},
    train_samples=800,
    seeds=1,
)
LONG = tiny(name="long", training={"epochs": 400, "batch_size": 16}, train_samples=800, seeds=1)


class Lab:
    """One home and the program at work in it. The worker has one slot: on two cores the rest is left to the tests."""

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        self.seen = []

    def study(self, document):
        path = self.folder / f"{document['name']}.toml"
        path.write_text(tomli_w.dumps(document))
        return str(path)

    def popen(self, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "app.main", "--home", str(self.home), *arguments],
            **{
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "start_new_session": True,
                **options,
            },
        )

    def innate(self, *arguments, code=0, timeout=240, **options):
        process = self.popen(*arguments, **options)
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == code, f"{arguments}: exit {process.returncode}\n{out}\n{err}"
        return out, err

    def rows(self, *arguments, code=0):
        """The rows of a command's --json document, by noun."""
        return json.loads(self.asked(*arguments, "--json", code=code)[0])

    def asked(self, *arguments, code=0):
        """(stdout, stderr) of a command that neither trains nor waits."""
        done = innate_command(*arguments, home=self.home, check=code)
        return done.stdout, done.stderr

    def start(self, *arguments):
        self.innate("worker", "start", "--slots", "1", *arguments)
        return self.worker()

    def worker(self):
        """The process that holds the lock, None if none does."""
        (row,) = self.rows("worker", "status")["worker"]
        if not row["alive"] or row["pid"] is None:
            return None
        process = psutil.Process(row["pid"])
        self.seen.append(process)
        return process

    def family(self, worker):
        try:
            found = worker.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen += found
        return found

    @staticmethod
    def itself(worker):
        return worker

    def server_of(self, worker):
        return next((p for p in self.family(worker) if _is_server(p) and p.ppid() == worker.pid), None)

    def child_of(self, worker):
        """A child that runs a trial: forked, it still bears the server's command line (which asks git things too)."""
        server = self.server_of(worker)
        return next((p for p in self.family(worker) if server is not None and p != server and _is_server(p)), None)

    def query(self, sql, *values):
        connection = sqlite3.connect(f"file:{self.home / 'innate.db'}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def until(self, condition, seconds=180, what=""):
        """The first true value of `condition()`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                value = condition()
            except (sqlite3.OperationalError, psutil.NoSuchProcess):
                value = None
            if value:
                return value
            assert time.monotonic() < deadline, f"{what or condition}: not within {seconds} s\n{self.log()}"
            time.sleep(0.05)

    def progress(self):
        """(phase, share) of what runs, [] before anything is told."""
        return self.query("SELECT phase, share FROM progress WHERE share IS NOT NULL")

    def log(self):
        path = self.home / "logs" / "worker.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else "no log"

    def truth(self):
        return truth(self.home)

    def close(self):
        """No process of this home may be left, whatever the test came to."""
        for process in psutil.process_iter(["pid", "cmdline"]):
            if str(self.home) in (process.info["cmdline"] or []):
                for member in [*self.family(process), process]:
                    _kill(member)


def _is_server(process):
    try:
        return "core.executors.fork_server" in process.cmdline()
    except psutil.Error:
        return False


def _kill(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def all_gone(processes, seconds=10):
    """Those of the processes that still live after a while."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _lives(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def truth(home):
    """Everything that no fault may change: weights, ledgers, epochs, scores, audits, worst cases."""
    db = sqlite3.connect(home / "innate.db")
    return [
        db.execute(sql).fetchall()
        for sql in (
            "SELECT trial_id, state, initial_digest, final_digest FROM v_trials ORDER BY study, trial_id",
            "SELECT e.trial_id, e.attack_id, e.state, l.eps, l.survived, c.bitmap FROM evaluation e JOIN ledger l "
            "ON l.evaluation_id = e.id JOIN ledger_content c ON c.evaluation_id = e.id AND c.position = l.position "
            "ORDER BY 1, 2, 4",
            "SELECT trial_id, epoch, loss, accuracy, lr FROM epoch ORDER BY 1, 2",
            "SELECT study, trial_id, name, value, low, high FROM score ORDER BY 1, 2, 3",
            "SELECT a.trial_id, a.spec_id, a.state, c.fell_at, r.eps, r.standing, r.audited, r.fell, r.broken, r.rounds "
            "FROM audit a JOIN audit_content c ON c.audit_id = a.id JOIN audit_radius r ON r.audit_id = a.id ORDER BY 1, 2, 5",
            "SELECT study, trial_id, norm, eps, compared_accuracy, robust_accuracy, trust FROM robustness ORDER BY 1, 2, 3, 4",
        )
    ]
