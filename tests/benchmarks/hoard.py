"""A home with as many trials as are asked for, every row of which a worker's own functions wrote: claimed, recorded, settled.
Only what a model would have said is made up."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np

from app.worker.recorder import Recorder
from core import events
from core.events import EpochRecord
from core.records.outcome import Bools, Diagnosis, Ledger, Trace
from core.records.study import Plan
from core.study.plan import make_plan
from core.study.resolve import parse_study
from core.traits import Measured
from storage import database, queue, submitting
from storage.home import Home, prepare
from storage.queue import Claim

SAMPLES = 1000
EPOCHS = 5
SEEDS = 5
AT_ONCE = 100
"""Trials that are written in one transaction: a worker takes one for each event, which costs the disk and not the tables."""
_CELLS = 200
"""Variants for each network: optimizers × activations × defenses."""


def document(trials: int, name: str = "hoard", **changes: Any) -> dict[str, Any]:
    """A grid of that many trials, a multiple of `SEEDS` × `_CELLS`: networks, and for each 10 optimizers, 5 activations, 4
    defenses, 5 seeds. Each is attacked at six ε."""
    assert trials % (SEEDS * _CELLS) == 0
    return {
        "name": name,
        "dataset": "mnist5k",
        "architectures": [{"name": "mlp", "hidden": [16 + number]} for number in range(trials // (SEEDS * _CELLS))],
        "optimizers": [
            {"name": optimizer, "lr": lr} for optimizer in ("adam", "sgd") for lr in (0.001, 0.002, 0.005, 0.01, 0.02)
        ],
        "activations": ["relu", "tanh", "silu", "elu", "sigmoid"],
        "defenses": ["none", *({"name": "fgsm-at", "eps": eps} for eps in (0.1, 0.2, 0.3))],
        "seeds": SEEDS,
        "training": {"epochs": EPOCHS},
        "attacks": [{"name": "fgsm", "eps": [0.05, 0.1, 0.2]}, {"name": "pgd", "eps": [0.05, 0.1, 0.2], "steps": 20}],
        "audit": {"samples": 0},
        **changes,
    }


def planned(home: Home, grid: dict[str, Any]) -> Plan:
    """The plan of a grid, however large; no data are read."""
    return make_plan(parse_study(grid, "benchmark", Path("/")), home.cache / "no-data", home.cache, large=True)


def fill(home: Home, trials: int, *, done: float = 0.95, failed: float = 0.01, **changes: Any) -> list[float]:
    """Of `trials` these shares end, the rest stay queued. Returns the seconds of the processor that each hundred that was
    done took, per trial."""
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, planned(home, document(trials, **changes)))
    pen, took = Scribe(db, home), []
    for count, end in ((done, pen.done), (failed, pen.failed)):
        for first in range(0, round(count * trials), AT_ONCE):
            begun = processor()
            with database.transaction(db):
                for _ in range(min(AT_ONCE, round(count * trials) - first)):
                    end()
                pen.recorder.flush()
            took.append((processor() - begun) / AT_ONCE)
    db.conn.close()
    return took


def processor() -> float:
    """Seconds of the processor that this process has taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Scribe:
    """Writes trials as a worker does whose models answer at random."""

    def __init__(self, db: Any, home: Home) -> None:
        self.db, self.home = db, home
        self.recorder = Recorder(db, home, give_up=lambda: True)
        self._rng = np.random.default_rng(1)
        self._labels = np.arange(SAMPLES) % 10
        (self._samples,) = db.execute("SELECT samples FROM study LIMIT 1").fetchone()

    def claimed(self) -> Claim:
        claim = queue.claim(self.db, device="cpu")
        assert claim is not None
        self.recorder.begin(claim, 0, "cpu")
        return claim

    def take(self, claim: Claim, *told: events.Event) -> None:
        for event in told:
            self.recorder.take(claim, event, at_fault=False)

    def failed(self) -> None:
        claim = self.claimed()
        self.take(claim, self._started(), events.TrialFailed("the loss became NaN or infinite in epoch 1"))

    def done(self) -> Claim:
        """From the claim to the end."""
        claim, rng = self.claimed(), self._rng
        known = rng.uniform(0.05, 0.99)
        history = tuple(
            EpochRecord(number, 2.0 / number, known * (1 - 0.5 / number), None, 0.01, rng.uniform(0.1, 2.0))
            for number in range(1, EPOCHS + 1)
        )
        weights = self.home.checkpoints / claim.trial_id / str(claim.number) / "weights.pt"
        correct = rng.random(SAMPLES) < known
        predictions = np.where(correct, self._labels, (self._labels + 1) % 10)
        self.take(claim, self._started(), *(events.EpochFinished(record) for record in history))
        self.take(claim, events.Trained(weights, "i" * 64, rng.bytes(32).hex(), history, 200 << 20))
        self.take(claim, events.CleanEvaluated(self._samples, None, correct, predictions, self._labels, 10))
        for look in claim.diagnoses:
            for number, eps in enumerate(look.eps):
                self.take(claim, events.Diagnosed(self._samples, None, self._seen(look.norm, eps), number == 0))
        for _ in claim.traits:
            self.take(claim, events.TraitsMeasured(self._samples, None, Measured(*rng.random(12).tolist())))
        standing = correct
        for wanted in claim.evaluations:
            steps = wanted.attack.params.get("steps")
            standing, event = self._attacked(wanted.attack, correct if steps is None else standing)
            self.take(claim, event)
        self.take(claim, events.Finished())
        return claim

    def _started(self) -> events.Started:
        return events.Started({"device": "cpu", "python": "3.12", "torch": "2.9", "innate": "1.0"}, 1, "i" * 64)

    def _attacked(self, attack: Any, before: Bools) -> tuple[Bools, events.EvaluationFinished]:
        """Fewer stand at each ε, of those that stood `before` at least one."""
        rng, standing, ledgers, traces = self._rng, before, [], []
        for eps in attack.eps:
            stood = int(standing.sum())
            standing = standing & (rng.random(SAMPLES) < 0.8)
            stands = int(standing.sum())
            single = "steps" not in attack.params
            ledgers.append(Ledger(eps, standing, None, stands / SAMPLES if single else None))
            if not single:
                traces.append(Trace(eps, stood, stood - stands, late=0, moving=0, reach=10.0))
        event = events.EvaluationFinished(
            attack,
            self._samples,
            None,
            tuple(ledgers),
            (),
            5 * SAMPLES,
            4 * SAMPLES,
            1.5,
            1000,
            "fp32",
            (),
            tuple(traces),
        )
        return standing, event

    def _seen(self, norm: str, eps: float) -> Diagnosis:
        return Diagnosis(norm, eps, 64, 0, 0, 0, 0, 0.0, "", 0, 0, (), 0, 0, 0.1, 64)
