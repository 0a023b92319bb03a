"""Filling a database by hand: events as a worker would record them, without training anything."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from core.datasets import parse_source
from core.events import CleanEvaluated, EpochRecord, EvaluationFinished, Started, Trained
from core.records.choice import Choice
from core.records.outcome import Ledger
from core.records.trial import TrialSpec
from storage import imports, queue, recording
from storage.changes import Admission, Arrival
from storage.home import Home

SAMPLES = 60


def epoch(number: int) -> EpochRecord:
    return EpochRecord(number, 1.0 / number, 0.5, None, 0.01, 0.25)


def weights_file(home: Home, claim: queue.Claim) -> Path:
    return home.checkpoints / claim.trial_id / str(claim.number) / "weights.pt"


def train(db, home: Home, claim: queue.Claim) -> None:
    """Started, two epochs, trained."""
    recording.record_started(db, claim.attempt_id, Started({"device": "cpu", "torch": "x"}, 1, "i" * 64))
    recording.record_epochs(db, claim.trial_id, [epoch(1)])
    history = (epoch(1), epoch(2))
    recording.record_trained(
        db, claim.attempt_id, Trained(weights_file(home, claim), "i" * 64, "f" * 64, history, 1000), home
    )


def evaluate(db, claim: queue.Claim, seed: int = 0) -> None:
    """The clean outcomes and every evaluation that the claim asks for, with plausible ledgers."""
    rng = np.random.default_rng(seed)
    labels = np.arange(SAMPLES) % 10
    samples = samples_of(db)
    correct = rng.random(SAMPLES) < 0.9
    for test_samples in claim.clean:
        predictions = np.where(correct, labels, (labels + 1) % 10)
        recording.record_clean(
            db, claim.trial_id, CleanEvaluated(samples[test_samples], test_samples, correct, predictions, labels, 10)
        )
    for wanted in claim.evaluations:
        standing, ledgers = correct, []
        for eps in wanted.attack.eps:
            standing = standing & (rng.random(SAMPLES) < 0.6)
            ledgers.append(Ledger(eps, standing))
        if not wanted.attack.eps:
            distances = np.where(correct, rng.random(SAMPLES) < 0.9, 0).astype(np.float32) * rng.random(SAMPLES)
            ledgers.append(Ledger(None, correct, distances.astype(np.float32)))
        event = EvaluationFinished(
            wanted.attack,
            samples[wanted.test_samples],
            wanted.test_samples,
            tuple(ledgers),
            (),
            100,
            50,
            0.5,
            256,
            "fp32",
        )
        recording.record_evaluation(db, claim.attempt_id, event)


def run_one(db, home: Home, study: str | None = None, seed: int = 0) -> queue.Claim | None:
    """Claim, train unless trained, evaluate, settle."""
    claim = queue.claim(db, study)
    if claim is not None:
        if queue.weights_path(db, claim.trial_id) is None:
            train(db, home, claim)
        evaluate(db, claim, seed)
        queue.settle(db, claim.attempt_id)
    return claim


def samples_of(db) -> dict[int | None, str]:
    return dict(db.execute("SELECT test_samples, samples FROM study").fetchall())


def bring(db, home: Home, content: bytes = b"weights", study: str | None = None, **given) -> Admission:
    """Import a file with this content, as weights of a small mlp for digits; `given`: label, seed and record."""
    digest = hashlib.sha256(content).hexdigest()
    architecture = Choice("mlp", {"hidden": [24], "batch_norm": False, "dropout": 0.0, "normalise": True})
    joined = imports.study_to_join(db, home, parse_source("digits", home.root), study, home.data_root)
    trial = TrialSpec(joined.info.identity, None, architecture, Choice("relu"), None, None, None, 0, digest)
    path = home.incoming / "1" / "weights.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    origin, environment = home.root / "net.pt", {"device": "cpu", "torch": "x"}
    arrival = Arrival(
        trial,
        path.relative_to(home.root),
        digest,
        environment,
        origin,
        given.get("label"),
        given.get("seed"),
        given.get("record"),
    )
    return imports.admit(db, home, joined, home.data_root, arrival)
