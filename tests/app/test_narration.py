"""What is told of an event, in a line."""

import numpy as np

from app.worker.narration import logged, told
from core.attacks import resolve
from core.events import Diagnosed, EvaluationFinished, LookFailed
from core.records.outcome import Ledger
from storage.journal import entries
from tests.core.test_trust import looked


def test_a_look_at_the_model_is_told_where_it_finds_something():
    assert told(Diagnosed("digest", None, looked())) == []
    (line,) = told(Diagnosed("digest", None, looked(zero_gradients=60)))
    assert line.startswith("suspect: zero gradients: the loss has no slope in any pixel on 60 of 64")
    again = looked(zero_gradients=60, only_by_search=9)
    (line,) = told(Diagnosed("digest", None, again, first=False))
    assert line.startswith("suspect: search beats gradients"), "what no radius changes was told before"


def test_a_look_that_failed_is_told_with_what_the_verdict_lacks():
    failed = LookFailed("l2", "RuntimeError: not enough memory", "Traceback …")
    (line,) = told(failed)
    assert line == "the look at the model in ℓ2 failed, so its verdict is without it: RuntimeError: not enough memory"
    assert [text for entry in entries(failed) for text in logged(entry)] == [line, "Traceback …"]


def test_a_minimum_norm_attack_is_told_by_its_median_distance():
    def line(distances, standing):
        ledger = Ledger(None, np.array(standing, bool), np.array(distances, np.float32))
        attack = resolve("fmn", {"norm": "linf"}, "attack")
        event = EvaluationFinished(attack, "digest", None, (ledger,), (), 1, 1, 0.5, 1, "fp32")
        return told(event, clean=0.75)[0]

    assert line([0.1, 0.3, 0.2, 0.0], [1, 1, 1, 0]) == "clean 75.0%, fmn ℓ∞ median distance 0.2 in 0.5 s"
    assert "no distance for half" in line([0.1, np.inf, np.inf, 0.0], [1, 1, 1, 0])
    assert "median distance 0 " in line([0.0], [0])
