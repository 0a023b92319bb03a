"""The table of `make gpu`: training, attacks and studies beside their peers, in one run, on one card; and the bars."""

import dataclasses
import itertools
import statistics
import time

import pytest
import tomli_w
import torch

from core.lanes.lane import open_lane
from core.precision import multiplying_in
from storage.home import Home
from tests.benchmarks import nets, rivals
from tests.conftest import REAL_DATA, innate_command
from tests.gpu.conftest import WHOLE
from tests.gpu.data import FULL, of_full_size
from tests.gpu.loops import BATCH
from tests.gpu.rates import gap, together
from tests.gpu.training import Training, grid, images_of, lanes_rate, on_device, recorded_gaps, recorded_spans
from tests.gpu.trials import STUDY, carry, jobs

RATES = {"tf32": 400_000, "bf16": 700_000}
TIMES = {"tf32": 7, "bf16": 12}
GAP = 0.050
SWEEP, STANDARD = 3, 5
PAPER = 600
TRIALS = 105
OF_A_FILE = {key: value for key, value in STUDY.items() if key not in ("name", "dataset")}
"""What a study file needs beside `grid`."""


@pytest.fixture(scope="session")
def plain(card, sheet, cache):
    """`Training` by precision, each begun with the plain loops."""
    images, labels = on_device(card, cache)
    sheet.note(f"Training data: {of_full_size(cache)[1]}. × plain: beside the eager loop in the same precision.")
    made = {}

    def of(precision):
        if precision not in made:
            made[precision] = Training(card, sheet, precision, images, labels)
        return made[precision]

    return of


def innate_run(card, folder, spec, lanes, *arguments):
    """Wall seconds of `innate run`, a process of its own from start to end, and its home."""
    home = Home(folder / "home")
    rooms = ("--lanes" if card.real else "--slots", str(lanes))
    begun = time.perf_counter()
    innate_command(
        "run", str(spec), "--device", str(card.device), *rooms, *arguments,
        home=home.root, timeout=900, INNATE_DATA=str(REAL_DATA),
    )  # fmt: skip
    return time.perf_counter() - begun, home


def none_missed(*bars):
    assert [one for one in bars if one] == []


@pytest.mark.gpu(seconds=60)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_training_through_innate_run(precision, card, sheet, plain, lanes, cache, tmp_path):
    if precision not in card.precisions:
        pytest.skip(f"this device has no {precision}")
    document = grid(card, cache, precision, lanes, epochs=5)
    (tmp_path / "grid.toml").write_text(tomli_w.dumps({**document, **OF_A_FILE}))
    seconds, home = innate_run(card, tmp_path, tmp_path / "grid.toml", lanes)
    rate = together(recorded_spans(home.database, images_of(document)))
    times = plain(precision).row(f"innate run, {lanes} lanes", rate)
    sheet.add("studies", f"grid, {document['training']['epochs']} epochs, {precision}", lanes, f"{seconds:.1f}", "")
    none_missed(
        sheet.bar(f"training, images/s, innate run, {precision}", rate, RATES[precision]),
        sheet.bar(f"training, × plain, innate run, {precision}", times, TIMES[precision]),
    )


@pytest.mark.gpu(seconds=60)
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp32"])
def test_training_in_ever_more_lanes(precision, card, sheet, plain, many, cache, tmp_path):
    if precision not in card.precisions:
        pytest.skip(f"this device has no {precision}")
    for lanes in card.sized((1, 4, 8, 16, 32), (1, 2)):
        document = grid(card, cache, precision, lanes, few=precision == "fp32")
        rate = lanes_rate(card, many, document, tmp_path / str(lanes), cache)
        plain(precision).row(f"{lanes} lane{'s' if lanes > 1 else ''}", rate)


@pytest.mark.gpu(seconds=40)
def test_one_trial_after_another(card, sheet, many, cache, tmp_path):
    document = grid(card, cache, "fp32", 5, epochs=1)
    document["train_samples"] = card.sized(20_000, 256)
    wanted = {str(number): job for number, job in enumerate(jobs(document, tmp_path, cache, str(card.device)))}
    stories = list(carry(many, wanted, 1, 30).stories.values())
    bare = statistics.median(gap(*pair, BATCH) for pair in itertools.pairwise(stories))
    sheet.add("studies", "next trial's first step, executor", 5, f"{bare:.3f}", "median")

    (tmp_path / "grid.toml").write_text(tomli_w.dumps({**document, **OF_A_FILE, "attacks": []}))
    _, home = innate_run(card, tmp_path, tmp_path / "grid.toml", 1)
    whole = statistics.median(recorded_gaps(home.database))
    sheet.add("studies", "next trial's first step, innate run", 5, f"{whole:.3f}", "median")
    none_missed(sheet.bar("next trial's first step, ms, innate run", whole * 1000, GAP * 1000, most=True))


@pytest.mark.gpu(seconds=60)
@pytest.mark.parametrize("images", [10_000, 1_000])
def test_a_pgd_sweep_beside_libraries(images, card, sheet, net):
    subject = nets.on(net, card.sized(images, 16))
    count = len(subject.tests)
    sheet.note(
        f"Attacked: kumar-cnn, {net.data}; {len(net.tests):,} test images, again and again where there are more."
    )
    sheet.note("× ours: seconds beside ours in that precision; libraries in the batch that they are quickest with.")
    batches = sorted({min(size, count) for size in (250, 500, 1000, 2500, 5000, 10_000)})
    missed = []
    for precision in card.sized(("fp32", "tf32"), ("fp32",)):
        with open_lane(card.device).entered():
            rivals.ours(nets.on(net, min(count, 64)), precision)  # libraries are loaded, as they are for the others
            ours = rivals.ours(subject, precision)
        rows = [dataclasses.replace(ours, name="innate")]
        for name in ("torchattacks", "foolbox"):
            try:
                with multiplying_in(precision):
                    rows.append(rivals.rival(name, subject, count, batches))
            except pytest.skip.Exception as absent:
                sheet.note(f"Skipped: {absent}")
        for row in rows:
            times = row.cost.wall / ours.cost.wall
            sheet.add(
                "attacks", f"PGD-40 over four ε, {row.name}", precision, f"{count:,}", f"{row.cost.wall:.2f}",
                f"{times:.2f}", row.batch,
            )  # fmt: skip
            if row.name == "torchattacks":
                what = f"PGD, {count:,} images, {precision}, × torchattacks"
                missed.append(sheet.bar(what, times, SWEEP))
            for mine, theirs in zip(ours.accuracies, row.accuracies, strict=True):
                assert mine <= theirs + max(0.005, 2 / count), f"weaker than {row.name}"
    none_missed(*missed)


@pytest.mark.gpu(seconds=100)
def test_standard_beside_pyautoattack(card, sheet, net):
    eps, subject = 0.1, nets.on(net, card.sized(1000, 2))
    count = len(subject.tests)
    with open_lane(card.device).entered():
        cost, event = nets.attacked(subject, "standard", {"eps": [eps], **card.sized({}, {"queries": 20})}, "fp32")
    sheet.add(
        "attacks", f"standard at ε {eps:g}, innate", "fp32", f"{count:,}", f"{cost.wall:.2f}", "1.00", event.batch_size
    )
    try:
        pyautoattack = pytest.importorskip("pyautoattack", reason="pyautoattack is in the extra `parity`")
    except pytest.skip.Exception as absent:
        sheet.note(f"Skipped: {absent}")
        return
    x, y = subject.tests.pixels(torch.arange(count, device=card.device)), subject.tests.labels
    all_of_it = card.sized({"version": "standard"}, {"version": "custom", "attacks": ["apgd-ce"]})
    ensemble = pyautoattack.AutoAttack(
        subject.model, norm="Linf", eps=eps, seed=0, device=str(card.device), **all_of_it
    )
    with multiplying_in("fp32"):
        begun = time.perf_counter()
        adversarial, _ = ensemble.run_standard_evaluation(x, y, batch_size=count)
        card.settle()
        seconds = time.perf_counter() - begun
    with torch.no_grad(), multiplying_in("fp32"):
        theirs = float((subject.model(adversarial).argmax(dim=1) == y).float().mean())
    times = seconds / cost.wall
    sheet.add("attacks", "the same, pyautoattack", "fp32", f"{count:,}", f"{seconds:.2f}", f"{times:.2f}", count)
    assert float(event.ledgers[0].survived.mean()) <= theirs + max(0.005, 1 / count)
    none_missed(sheet.bar("standard, × pyautoattack", times, STANDARD))


@pytest.mark.gpu(seconds=700 if WHOLE else 130)
def test_the_paper_s_study(card, sheet, lanes, tmp_path):
    """One optimizer of seven, with all that belongs to it: training, three attacks at four ε, the audit."""
    if not FULL:
        sheet.note("Skipped: paper-mnist, as full MNIST is not here.")
        pytest.skip(f"no full MNIST at {REAL_DATA}")
    share = [] if WHOLE else ['optimizers=["adam"]']
    small = ['activations=["relu"]', "seeds=1", "train_samples=200", "test_samples=10", "training.epochs=1"]
    keys = [*share, *card.sized(["training.precision=tf32"], small)]
    seconds, home = innate_run(
        card, tmp_path, "paper-mnist", lanes, *(part for key in keys for part in ("--set", key)), "-y"
    )
    done = len({one.trial for one in recorded_spans(home.database, 1)})
    whole = seconds * TRIALS / done
    words = "" if done == TRIALS else f"all {TRIALS}: {whole:,.0f} s (estimated)"
    sheet.add(
        "studies",
        card.sized("paper-mnist, tf32", "paper-mnist, cut down"),
        done,
        f"{seconds:.1f}",
        words,
    )
    estimated = "" if done == TRIALS else " (estimated)"
    none_missed(sheet.bar(f"paper-mnist, seconds{estimated}", whole, PAPER, most=True))
