"""Attacks whose steps a lane records, against the same carried out eagerly: ledgers, traces, distances and images are equal.

Eager ones look at their results as seldom as on a GPU, so that images are the same, too.
"""

import contextlib
import copy
import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import nn

from core.attacks import ATTACKS, resolve
from core.engine.recorded import Recordings, Room, Shared, Table, at, chosen, picked
from core.engine.victim import EvaluationStopped, NonFiniteLogits, Victim, under_attack
from core.evaluation.evaluate import clean_outcome, evaluate
from core.jobs.transfer import craft
from core.lanes.lane import Lane
from core.records.outcome import DiagnosisSpec
from core.verdict.diagnosis import diagnose
from tests.conftest import thorough
from tests.core.linear import samples_of, small_net
from tests.core.tape import Tape

torch.set_num_threads(1)
CPU = torch.device("cpu")


def attack(name, **options):
    return resolve(name, options, "attack")


def coloured_net():
    """Strided, of three colours, with sigmoids that many images saturate."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Conv2d(6, 6, 3), nn.ReLU(),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(54, 5),
    )  # fmt: skip
    net[0].weight.data *= 20
    return net.eval()


def samples_for(net, shape, seed=2):
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8))
    with torch.no_grad():
        logits = net(images.float() / 255)
    labels = logits.argmax(dim=1)
    labels[::7] = (labels[::7] + 1) % logits.shape[1]
    return samples_of(images, labels)


WORLDS = ("grey", "coloured")


@pytest.fixture(scope="module")
def worlds():
    grey, coloured = small_net().eval(), coloured_net()
    return {
        "grey": (grey, samples_for(grey, (70, 1, 4, 4))),
        "coloured": (coloured, samples_for(coloured, (50, 3, 9, 9))),
    }


@contextlib.contextmanager
def seldom():
    """Eager attacks look at their results every eighth step, as on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Victim, "settle_every", lambda self, device: 8)
        yield


def ended(model, tests, spec, tape=None, **options):
    """The last event of an evaluation, in a lane with that recorder if there is one."""
    correct = clean_outcome(model, tests, 0).correct
    lane = Lane(CPU, recorder=tape)
    with lane.entered():
        *_, event = evaluate(model, tests, spec, correct, **options)
    return event


def assert_equal(ours, theirs):
    """Images and distances up to rounding: a convolution of another number of rows may round otherwise."""
    assert len(ours.ledgers) == len(theirs.ledgers)
    for mine, other in zip(ours.ledgers, theirs.ledgers, strict=True):
        assert np.array_equal(mine.survived, other.survived)
        if other.distances is not None:
            assert np.allclose(mine.distances, other.distances, rtol=1e-5, atol=0)
    assert ours.traces == theirs.traces
    assert [(one.sample, one.eps) for one in ours.examples] == [(one.sample, one.eps) for one in theirs.examples]
    for mine, other in zip(ours.examples, theirs.examples, strict=True):
        assert np.abs(mine.adversarial - other.adversarial).max() <= 1e-6


SPECS = [
    attack("bim", eps=[0.02, 0.3]),
    attack("bim", eps=[0.2, 1.0], norm="l2", steps=14),
    attack("mi-fgsm", eps=[0.02, 0.2], steps=12),
    attack("mi-fgsm", eps=[0.3, 1.0], steps=12, norm="l2", decay=0.7),
    attack("pgd", eps=[0.02, 0.05, 0.1, 0.3], steps=25, restarts=2),
    attack("pgd", eps=[0.3, 1.0], steps=30, norm="l2", loss="dlr"),
    attack("pgd", eps=[0.07], steps=20, alpha=0.007, loss="margin", random_start=False),
    attack("apgd", eps=[0.03, 0.1, 0.3], steps=30),
    attack("apgd", eps=[0.3, 1.0], steps=30, norm="l2", loss="targeted", restarts=2),
    attack("square", eps=[0.1, 0.3], queries=80),
    attack("square", eps=[0.5, 1.5], queries=60, norm="l2", restarts=2),
    attack("standard", eps=[0.05, 0.2], steps=20, queries=40),
    attack("fmn", steps=30),
    attack("fmn", steps=30, norm="linf"),
    attack("cw", steps=30, search_steps=3),
    attack("deepfool"),
]


@pytest.mark.parametrize(
    ("spec", "world"),
    thorough(
        [(spec, world) for spec in SPECS for world in WORLDS],
        usually=[(spec, WORLDS[number % 2]) for number, spec in enumerate(SPECS)],
    ),
    ids=lambda given: given if isinstance(given, str) else f"{given.name}-{given.norm}",
)
def test_recorded_steps_end_where_eager_ones_do(world, spec, worlds):
    model, tests = worlds[world]
    tape = Tape()
    recorded = ended(model, tests, spec, tape)
    with seldom():
        eager = ended(model, tests, spec)
    assert_equal(recorded, eager)
    assert not any("without CUDA graphs" in note for note in recorded.notes)
    assert tape.replays > tape.captures > 0


def test_the_worlds_are_such_that_some_fall_early_and_some_stand(worlds):
    """Else equality would say little."""
    for model, tests in worlds.values():
        first, *_, last = ended(model, tests, SPECS[4]).ledgers
        assert last.survived.sum() + 15 <= first.survived.sum() < len(tests)


def test_a_sweep_records_a_handful_of_graphs_for_all_radii_restarts_and_batches(worlds):
    model, tests = worlds["grey"]
    tape = Tape()
    ended(model, tests, attack("pgd", eps=[0.001, 0.002, 0.003, 0.004], steps=40, restarts=2), tape, batch_size=32)
    assert tape.captures <= 5  # a step and a gradient for 32 and 24 rows, and the last forward pass
    assert tape.replays > 10 * tape.captures


def test_passes_are_counted_as_eager_ones_are_while_no_row_leaves(worlds):
    model, tests = worlds["grey"]
    for spec in (
        attack("pgd", eps=[0.0005], steps=20),
        attack("apgd", eps=[0.0005], steps=20),
        attack("square", eps=[0.0005], queries=50),
        attack("fmn", steps=20),
    ):
        recorded = ended(model, tests, spec, Tape(), batch_size=60)
        eager = ended(model, tests, spec, batch_size=60)
        assert recorded.forward_passes == eager.forward_passes, spec.name
        assert recorded.backward_passes == eager.backward_passes, spec.name


def test_rows_leave_once_half_of_them_fell(worlds):
    """Nearly all fall within a few steps: what follows must not cost what the whole batch would."""
    model, tests = worlds["coloured"]
    recorded = ended(model, tests, attack("pgd", eps=[0.5], steps=160), Tape())
    assert recorded.ledgers[0].survived.sum() < 5
    assert recorded.backward_passes < 30 * len(tests)


@pytest.mark.parametrize("batch", thorough([9, 31], usually=[31]))
def test_an_outcome_does_not_hang_on_the_size_of_a_recorded_batch(batch, worlds):
    model, tests = worlds["grey"]
    for spec in (SPECS[0], SPECS[5], SPECS[7]):
        whole, parts = ended(model, tests, spec, Tape()), ended(model, tests, spec, Tape(), batch_size=batch)
        for mine, other in zip(parts.ledgers, whole.ledgers, strict=True):
            assert np.array_equal(mine.survived, other.survived)


class Looks(nn.Module):
    """Asks for a value in the middle of its forward pass."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) if float(x.sum()) >= 0 else self.net(x) + 1


@pytest.mark.parametrize("number", thorough([4, 8, 9, 12, 13], usually=[4, 9, 12]))
def test_a_model_that_cannot_be_recorded_runs_eagerly_and_says_so(number, worlds):
    model, tests = worlds["grey"]
    spec = SPECS[number]
    tape = Tape()
    theirs = ended(Looks(model), tests, spec, tape)
    assert tape.replays == 0
    assert any("passes ran without CUDA graphs: operation not permitted" in note for note in theirs.notes)
    with seldom():
        assert_equal(theirs, ended(model, tests, spec))


def test_memory_that_runs_out_while_recording_halves_the_batch_and_drops_what_was_recorded(worlds, monkeypatch):
    model, tests = worlds["grey"]
    forgotten = []
    monkeypatch.setattr(Recordings, "forget", _and_note(Recordings.forget, forgotten))

    class Small(Tape):
        def __call__(self, work):
            replay, result = super().__call__(work)
            if self.captures == 1:
                raise torch.OutOfMemoryError("too much")
            return replay, result

    spec = attack("apgd", eps=[0.05, 0.2], steps=20)
    recorded = ended(model, tests, spec, Small(), batch_size=64)
    assert recorded.batch_size == 30  # 60 of the 70 are right on the clean image
    assert "out of memory at 60" in recorded.notes[0]
    assert forgotten
    with seldom():
        eager = ended(model, tests, spec)
    for mine, other in zip(recorded.ledgers, eager.ledgers, strict=True):
        assert np.array_equal(mine.survived, other.survived)


def _and_note(method, seen):
    def noting(self):
        seen.append(self)
        method(self)

    return noting


@pytest.mark.parametrize("spec", [SPECS[4], SPECS[7], SPECS[9], SPECS[12]], ids=lambda spec: spec.name)
def test_a_wish_to_stop_is_heard_in_the_middle(spec, worlds):
    """After eight steps at most: not after the forty of a batch."""
    model, tests = worlds["grey"]
    tape = Tape()
    replays = []

    def stop():
        if tape.replays >= 4:
            replays.append(tape.replays)
        return tape.replays >= 4

    with pytest.raises(EvaluationStopped):
        ended(model, tests, dataclasses.replace(spec, eps=spec.eps[:1]), tape, stop=stop)
    assert replays[0] <= 12


@pytest.mark.parametrize(
    ("spec", "looks"),
    [
        (attack("pgd", eps=[0.0005], steps=40), 5),  # after 8, 16, … 40 passes; the last pass is looked at by itself
        (attack("square", eps=[0.0005], queries=1024), 16 + 8 + 8 + 8),  # to 128 each eighth, to 256 each sixteenth, …
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_the_host_waits_once_a_look_and_looks_become_rare(spec, looks, worlds, monkeypatch):
    model, tests = worlds["grey"]
    seen = []
    look = Victim.look
    monkeypatch.setattr(Victim, "look", lambda self, *counts: seen.append(len(counts)) or look(self, *counts))
    ended(model, tests, spec, Tape(), batch_size=256)  # a search takes a quarter of it
    assert abs(len(seen) - looks) <= 1


def test_logits_that_are_not_finite_are_told_at_the_next_look(worlds):
    model, tests = worlds["grey"]

    class Torn(nn.Module):
        """NaN for images beyond those that are clean."""

        def forward(self, x):
            off = (x * 255 - (x * 255).round()).abs().flatten(1).amax(dim=1, keepdim=True)
            return model(x) + torch.where(off > 1e-3, float("nan"), 0.0)

    with pytest.raises(NonFiniteLogits):
        ended(Torn(), tests, attack("bim", eps=[0.05], steps=20), Tape())


def test_lanes_beside_each_other_give_what_each_gives_alone(worlds):
    spec = attack("standard", eps=[0.05, 0.2], steps=16, queries=24)
    model, tests = worlds["grey"]
    alone, found, faults = ended(model, tests, spec, Tape()), {}, []

    def run(number):
        try:
            found[number] = ended(copy.deepcopy(model), tests, spec, Tape())
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    for number in range(4):
        assert_equal(found[number], alone)


def test_each_sample_may_have_its_own_radius_in_a_recorded_step(worlds):
    model, tests = worlds["grey"]
    rows = torch.arange(len(tests))
    x, y, radii = tests.pixels(rows), tests.labels, torch.where(rows % 2 == 0, 0.05, 0.2)
    for spec in (SPECS[5], SPECS[7], SPECS[9]):
        with under_attack(model), Lane(CPU, recorder=Tape()).entered():
            recorded = ATTACKS[spec.name].iterate(Victim(model), x, y, tests.indices, 0, radii, spec)
        with under_attack(model), seldom():
            eager = ATTACKS[spec.name].iterate(Victim(model), x, y, tests.indices, 0, radii, spec)
        for field in dataclasses.fields(eager):
            assert torch.equal(getattr(recorded, field.name), getattr(eager, field.name)), (spec.name, field.name)


@dataclasses.dataclass(frozen=True)
class State:
    now: torch.Tensor
    before: torch.Tensor
    rate: float
    table: Shared
    aims: tuple
    none: None = None


def test_a_room_keeps_what_goes_from_one_place_of_the_state_to_another():
    """`before` takes what `now` was, not what it becomes."""
    state = State(torch.arange(3.0), torch.zeros(3), 0.1, Shared(torch.tensor([1.0, 10.0, 100.0])), (torch.ones(3),))
    room = Room(state, 8, CPU)
    room.load(state, 1)

    def step(one, number):
        return dataclasses.replace(one, now=one.now + picked(one.table.values, number), before=one.now)

    room.advance(step)
    room.advance(step)
    found = room.rows(3, state)
    assert found.now.tolist() == [110.0, 111.0, 112.0]
    assert found.before.tolist() == [10.0, 11.0, 12.0]
    assert found.rate == 0.1
    assert found.none is None
    assert int(room.number) == 3
    assert at(torch.tensor([2]), found).now.tolist() == [112.0]


def test_a_number_on_the_device_rounds_as_pythons_does():
    values = [0.1 / 3, 0.7, 1e-3]
    table, x = Table(values), torch.rand(50)
    for number, value in enumerate(values):
        held = table[torch.tensor(number)]
        assert torch.equal(x * held, x * value)
        assert torch.equal(x + (1.0 + held), x + (1.0 + value))
        assert (x * held).dtype == torch.float32
    assert table[1] == 0.7


def test_what_a_step_leaves_out_is_not_worked_out_in_python():
    def never():
        raise AssertionError

    old = torch.zeros(2)
    assert chosen(False, never, old) is old
    assert chosen(torch.tensor(True), lambda: old + 1, old).tolist() == [1.0, 1.0]


def test_a_look_at_a_model_sees_the_same_in_a_lane_that_records(worlds):
    """Its hooks need an eager pass; its short attacks are recorded like any."""
    model, tests = worlds["grey"]
    correct = clean_outcome(model, tests, 3).correct
    for norm, eps in (("linf", (0.02, 0.2)), ("l2", (0.1, 0.6))):
        tape, found = Tape(), []
        for lane in (Lane(CPU, recorder=tape), Lane(CPU)):
            with lane.entered():
                looks = list(diagnose(model, tests, correct, DiagnosisSpec(None, norm, eps)))
            found.append([dataclasses.replace(look, seconds=0.0, nearest={}) for look in looks])
        assert found[0] == found[1]
        assert tape.replays > tape.captures > 0
        assert found[0][-1].broken_by_gradient


def test_crafting_to_transfer_is_the_same_in_a_lane_that_records(worlds):
    model, tests = worlds["coloured"]
    x = tests.pixels(torch.arange(len(tests)))
    for name in ("bim", "mi-fgsm"):
        images = []
        for lane in (Lane(CPU, recorder=Tape()), Lane(CPU)):
            with lane.entered(), under_attack(model):
                images.append(craft(Victim(model), x, tests.labels, tests.indices, attack(name, eps=[0.1])))
        assert torch.allclose(*images, atol=1e-6)
