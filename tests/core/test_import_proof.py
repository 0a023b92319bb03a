"""The same tensors can be several functions: what a file of weights proves, what it contradicts, what has to be asked, and what
stays a guess. The imported model is held against the network that the file came from."""

import collections
import dataclasses
import functools
import itertools
import random
import re

import pytest
import torch
from torch import nn

from core.datasets import load, parse_source
from core.errors import BadInput
from core.events import Imported, TrialFailed
from core.jobs.importing.accuracy import tolerance
from core.jobs.importing.job import run_import
from core.jobs.importing.matching import match
from core.jobs.orders import ImportJob, Stated
from core.models.activations import ACTIVATIONS, factory, output_range
from core.models.architectures import ARCHITECTURES, check
from core.models.pixel_model import build_model, trained_model
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.registry import resolve_options
from core.training import checkpoints

torch.set_num_threads(1)

HIDDEN = (32, 24)
ACTIVATION = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def trial_of(architecture="mlp", activation="relu", **options):
    entry = ARCHITECTURES[architecture]
    return TrialSpec(
        "digits",
        None,
        Choice(architecture, resolve_options(entry, options, "test")),
        Choice(activation, resolve_options(ACTIVATIONS[activation], {}, "test")),
        None,
        None,
        None,
        0,
    )


mlp = functools.partial(trial_of, "mlp", hidden=list(HIDDEN), normalise=False)


class Named(nn.Module):
    """Most people's code: layers by name, norms declared behind all of them, activations that are only called."""

    def __init__(self, norm, activation):
        super().__init__()
        widths = (64, *HIDDEN, 10)
        self.fc1, self.fc2, self.fc3 = (nn.Linear(*pair) for pair in itertools.pairwise(widths))
        if norm is not None:
            self.bn1, self.bn2 = (nn.BatchNorm1d(width) for width in HIDDEN)
        self.norm, self.activation = norm, ACTIVATION[activation]()

    def forward(self, x):
        x = x.flatten(1)
        for number in (1, 2):
            x = getattr(self, f"fc{number}")(x)
            norm = getattr(self, f"bn{number}", None)
            if self.norm == "before":
                x = norm(x)
            x = self.activation(x)
            if self.norm == "after":
                x = norm(x)
        return self.fc3(x)


def sequential(norm, activation):
    layers = [nn.Flatten()]
    widths = (64, *HIDDEN)
    for inputs, outputs in itertools.pairwise(widths):
        norms = [nn.BatchNorm1d(outputs)] if norm is not None else []
        between = [*norms, ACTIVATION[activation]()] if norm == "before" else [ACTIVATION[activation](), *norms]
        layers += [nn.Linear(inputs, outputs), *between]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], 10))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    place = tmp_path_factory.mktemp("digits")
    arrays = load(parse_source("digits", place), place, place)
    return tuple(
        torch.from_numpy(part.copy())
        for part in (arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels)
    )


@pytest.fixture(scope="module")
def learned(digits):
    """`learned(make, norm, activation, mean, deviation, bias)`: that network, trained for a moment, in eval mode."""

    @functools.cache
    def run(make, norm=None, activation="relu", mean=0.0, deviation=1.0, bias=None):
        torch.manual_seed(0)
        network = make(norm, activation)
        for layer in network.modules():
            if bias is not None and isinstance(layer, nn.Linear):
                nn.init.constant_(layer.bias, bias)
        pixels, labels = (digits[0].float() / 255 - mean) / deviation, digits[1].long()
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(30):
            for batch in torch.randperm(len(labels)).split(256):
                loss = nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return network.eval()

    return run


@pytest.fixture
def attempt(tmp_path, cache):
    """`attempt(content, trial, **stated)`: the Imported event; raises BadInput with the one line of what is refused."""

    def run(content, trial, **stated):
        path, folder = tmp_path / "net.pt", tmp_path / "incoming" / str(random.random())
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        source = parse_source("digits", tmp_path)
        given = Stated(**{"normalise_stated": True, **stated})
        first, *_ = run_import(ImportJob(path, trial, source, cache / "no-data", cache, folder, given), lambda: False)
        if isinstance(first, TrialFailed):
            assert not folder.exists()
            assert "\n" not in first.reason
            assert first.traceback == ""
            raise BadInput(first.reason.removeprefix(f"{path}: "))
        assert isinstance(first, Imported)
        return first

    return run


def logits_of(imported, pixels):
    content = checkpoints.read(imported.weights, imported.trial.id)
    model = trained_model(imported.trial, content["model"], (1, 8, 8), 10).eval()
    with torch.inference_mode():
        return model(pixels)


@pytest.fixture
def agrees(digits):
    """`agrees(imported, network)`: whether both give the same logits on the test images."""

    def run(imported, network, mean=0.0, deviation=1.0):
        pixels = digits[2].float() / 255
        with torch.inference_mode():
            theirs = network((pixels - mean) / deviation)
        ours = logits_of(imported, pixels)
        same = torch.allclose(ours, theirs, atol=1e-4)
        assert not same or torch.equal(ours.argmax(1), theirs.argmax(1))
        return same

    return run


def accuracy(network, digits, mean=0.0, deviation=1.0):
    with torch.inference_mode():
        answers = network((digits[2].float() / 255 - mean) / deviation).argmax(1)
    return float((answers == digits[3]).float().mean())


# --- batch norm before or after the activation ---


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize(("make", "by"), [(Named, "statistics"), (sequential, "names")])
def test_the_file_proves_where_its_batch_norm_stands(norm, make, by, learned, attempt, agrees):
    network = learned(make, norm)
    imported = attempt(network.state_dict(), mlp(batch_norm=True))
    assert (imported.record.norm, imported.record.norm_by, imported.record.guesses) == (norm, by, ())
    assert agrees(imported, network)


@pytest.mark.parametrize("norm", ["before", "after"])
def test_numbers_of_layers_tell_even_where_statistics_cannot(norm, learned, attempt, agrees):
    network = learned(sequential, norm, "tanh")
    imported = attempt(network.state_dict(), mlp(activation="tanh", batch_norm=True))
    assert (imported.record.norm, imported.record.norm_by) == (norm, "names")
    assert agrees(imported, network)


@pytest.mark.parametrize("norm", ["before", "after"])
def test_statistics_that_are_those_of_the_images_tell_for_any_activation(norm, learned, attempt, agrees):
    network = learned(Named, norm, "tanh")
    imported = attempt(network.state_dict(), mlp(activation="tanh", batch_norm=True))
    assert (imported.record.norm, imported.record.norm_by, imported.record.guesses) == (norm, "statistics", ())
    assert agrees(imported, network)


@pytest.mark.parametrize("norm", ["before", "after"])
def test_where_nothing_tells_it_is_asked_for_or_tried(norm, learned, attempt, agrees, digits, monkeypatch):
    monkeypatch.setattr("core.jobs.importing.job.statistics_gap", lambda model, pixels: 0.2)
    # Around its middle tanh is so straight that both orders are right about as often.
    network = learned(Named, norm, "tanh", bias=1.5 if norm == "after" else None)
    trial = mlp(activation="tanh", batch_norm=True)
    with pytest.raises(BadInput, match="nothing in it says whether batch norm stands before or after"):
        attempt(network.state_dict(), trial)
    stated = attempt(network.state_dict(), trial, norm=norm)
    assert (stated.record.norm, stated.record.norm_by) == (norm, "stated")
    tried = attempt(network.state_dict(), trial, expect_clean=accuracy(network, digits))
    assert (tried.record.norm, tried.record.norm_by) == (norm, "clean accuracy")
    assert tried.record.clean_accuracy == pytest.approx(accuracy(network, digits))
    assert stated.trial.id == tried.trial.id
    assert agrees(stated, network)
    assert agrees(tried, network)


def test_statistics_that_fit_neither_order_are_told_of(learned, attempt, monkeypatch):
    monkeypatch.setattr("core.jobs.importing.job.statistics_gap", lambda model, pixels: 0.9)
    with pytest.raises(BadInput, match=r"its statistics fit neither: is it another activation or normalisation\?"):
        attempt(learned(Named, "before", "tanh").state_dict(), mlp(activation="tanh", batch_norm=True))


def test_what_was_stated_is_held_against_the_file(learned, attempt):
    before = learned(Named, "before").state_dict()
    with pytest.raises(
        BadInput, match=r"running mean of 3 goes to -.*, below all that relu gives \(0\); is batch norm before"
    ):
        attempt(before, mlp(batch_norm=True), norm="after")
    with pytest.raises(
        BadInput, match="the names of its tensors put batch norm after the activation; leave --set norm=before"
    ):
        attempt(learned(sequential, "after").state_dict(), mlp(batch_norm=True), norm="before")


def test_a_contradiction_between_names_and_statistics_is_refused(learned, attempt):
    tanh_after = learned(sequential, "after", "tanh").state_dict()
    with pytest.raises(BadInput, match=r"below all that relu gives.*though by the names.*is it another activation"):
        attempt(tanh_after, mlp(batch_norm=True))


@pytest.mark.parametrize("stated", ["tanh", "sigmoid", "elu"])
def test_another_activation_than_it_was_trained_with_stays_visible(stated, learned, attempt):
    """Its statistics are not those that these images give."""
    imported = attempt(learned(Named, "before").state_dict(), mlp(activation=stated, batch_norm=True), norm="before")
    (guess,) = imported.record.guesses
    assert "deviations off what these images give: the activation, the normalisation or the order" in guess
    assert imported.notes[1].startswith("a guess: the statistics of its batch norms")


def test_another_normalisation_than_it_was_trained_with_stays_visible(learned, attempt):
    state = learned(sequential, "before", mean=0.5, deviation=0.5).state_dict()
    assert attempt(state, flipped(mlp(batch_norm=True)), mean=(0.5,), deviation=(0.5,)).record.guesses == ()
    assert attempt(state, mlp(batch_norm=True)).record.guesses


def test_our_own_file_is_told_by_its_form_whatever_its_statistics(attempt):
    """Adversarial training leaves statistics of images that are none of the set's."""
    arrays = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    trial = trial_of(hidden=[24], batch_norm=True)
    state = build_model(trial, arrays, 10).state_dict()
    state["network.3.running_mean"] += 5.0
    assert attempt({"model": state}, trial).record.guesses == ()


def test_our_own_names_are_held_against_statistics_too(learned, attempt):
    """A file with exactly our names was taken without a look at what is in it."""
    state = learned(sequential, "after").state_dict()
    names = {"1": "1", "3": "3", "4": "5", "6": "7", "7": "9"}
    ours = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value.clone() for key, value in state.items()}
    assert attempt(ours, mlp(batch_norm=True)).record.placed_by == "name"
    ours["3.running_mean"][5] = -0.3
    with pytest.raises(BadInput, match=r"the running mean of 3 goes to -0.3"):
        attempt(ours, mlp(batch_norm=True))


def test_the_option_names_what_is_not_usual_and_nothing_else():
    assert "norm" not in mlp(batch_norm=True, norm="after").architecture.options
    assert mlp(batch_norm=True, norm="before").architecture.options["norm"] == "before"
    assert "norm" not in trial_of("simplenet", norm="before").architecture.options
    with pytest.raises(BadInput, match="mlp has no batch norm to place"):
        check(mlp(norm="before").architecture, (1, 8, 8), "architectures[0]")


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "resnet" not in name])
def test_each_architecture_has_both_orders_with_the_same_tensors(name):
    entry = ARCHITECTURES[name]

    def kinds(norm):
        options = trial_of(name, batch_norm=True, norm=norm).architecture.options
        with torch.device("meta"):
            network = entry.build((1, 32, 32), 10, factory(Choice("tanh")), options)
        found = [type(layer).__name__.rstrip("12d") for layer in network.modules() if not list(layer.children())]
        pairs = collections.Counter(itertools.pairwise(found))
        return (
            pairs["BatchNorm", "Tanh"],
            pairs["Tanh", "BatchNorm"],
            [tuple(one.shape) for one in network.state_dict().values()],
        )

    (before, none, shapes), (no, after, same) = kinds("before"), kinds("after")
    assert before == after > 0
    assert none == no == 0
    assert shapes == same


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_no_activation_leaves_its_range_and_bounds_are_reached(name):
    choice = Choice(name, resolve_options(ACTIVATIONS[name], {}, "test"))
    low, high = output_range(choice)
    with torch.inference_mode():
        values = factory(choice)()(torch.linspace(-60, 60, 120_001))
    assert low - 1e-3 <= values.min()
    assert values.max() <= high + 1e-3
    assert values.min() < -0.5 if low == -torch.inf else values.min() <= low + 0.02
    assert values.max() > 40 if high == torch.inf else values.max() >= high - 0.02


# --- which state dict ---


def test_a_dead_candidate_is_never_taken_and_the_other_is_told(learned, attempt, agrees):
    network = learned(Named)
    state = network.state_dict()
    dead = {key: value * 0 for key, value in state.items()}
    imported = attempt({"model": dead, "ema": state, "optimizer": {"state": {0: torch.ones(2)}}}, mlp())
    assert imported.record.key == "ema"
    assert imported.notes[0] == "its ema was taken: model: holds nothing but zeros; no training ends there"
    assert agrees(imported, network)
    for content, stated in (({"model": dead}, {}), ({"model": dead, "ema": state}, {"key": "model"})):
        with pytest.raises(BadInput, match=r"^model: holds nothing but zeros"):
            attempt(content, mlp(), **stated)


def test_two_that_fit_are_asked_about(learned, attempt, agrees):
    network = learned(Named)
    state = network.state_dict()
    ema = {key: value * 0.9 for key, value in state.items()}
    content = {"state_dict": state, "averaged": {"ema": ema}, "epoch": 3}
    with pytest.raises(
        BadInput,
        match=re.escape("2 of its state_dicts fit: state_dict, averaged.ema; say which, such as --key averaged.ema"),
    ):
        attempt(content, mlp())
    chosen = attempt(content, mlp(), key="state_dict")
    assert chosen.record.key == "state_dict"
    assert agrees(chosen, network)
    assert not agrees(attempt(content, mlp(), key="averaged.ema"), network)
    with pytest.raises(BadInput, match=r"--key averaged: .* holds state_dicts under state_dict, averaged.ema"):
        attempt(content, mlp(), key="averaged")
    with pytest.raises(BadInput, match="holds one state_dict and nothing else; leave --key out"):
        attempt(state, mlp(), key="ema")


def test_others_that_are_alike_broken_or_of_another_shape_need_no_question(learned, attempt):
    state = learned(Named).state_dict()
    same = {f"module.{key}": value for key, value in state.items()}
    broken = {key: value * float("nan") for key, value in state.items()}
    content = {"model": state, "copy": same, "ema": broken, "head": {"fc.weight": torch.ones(3, 3)}}
    imported = attempt(content, mlp())
    assert imported.notes[0] == (
        "its model was taken: ema: fc1.weight and 5 more hold NaN or infinite weights; the training had diverged; "
        "head: does not fit; copy: is the same"
    )


# --- normalisation ---


def test_mean_and_deviation_are_a_layer_and_part_of_the_identity(learned, attempt, agrees, digits):
    network = learned(Named, mean=0.5, deviation=0.25)
    trial = dataclasses.replace(mlp(), architecture=trial_of(hidden=list(HIDDEN)).architecture)
    imported = attempt(network.state_dict(), trial, mean=(0.5,), deviation=(0.25,), normalise_stated=False)
    assert agrees(imported, network, 0.5, 0.25)
    assert (imported.record.mean, imported.record.deviation, imported.record.normalised_by) == (
        (0.5,),
        (0.25,),
        "stated",
    )
    other = attempt(network.state_dict(), trial, mean=(0.5,), deviation=(0.2,), normalise_stated=False)
    plain = attempt(network.state_dict(), mlp())
    identity = attempt(network.state_dict(), trial, mean=(0.0,), normalise_stated=False)
    assert imported.trial.id != other.trial.id != plain.trial.id
    assert identity.trial.id == plain.trial.id
    assert plain.trial.architecture == mlp().architecture


def test_statements_that_contradict_each_other(learned, attempt):
    state = learned(Named).state_dict()
    with pytest.raises(BadInput, match="--mean: has 3 numbers, but images of digits have 1 channels"):
        attempt(state, mlp(), mean=(0.1, 0.2, 0.3))
    with pytest.raises(BadInput, match=re.escape("--set normalise=false contradicts --mean 0.5 --deviation 0.5")):
        attempt(state, mlp(), mean=(0.5,), deviation=(0.5,))


def test_a_normalisation_that_nobody_stated_is_asked_for_where_another_suits_better(learned, attempt, digits):
    network = learned(Named, mean=-3.0, deviation=4.0)
    with pytest.raises(BadInput, match=r"is right on .* with --set normalise=.*say which"):
        attempt(shifted(network).state_dict(), trial_of(hidden=list(HIDDEN)), normalise_stated=False)


def shifted(network):
    """The same network for plain pixels, whose default normalisation would ruin it."""
    plain = Named(None, "relu")
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        plain.fc1.bias += network.fc1.weight.sum(1) * 0.75
        plain.fc1.weight /= 4.0
    return plain.eval()


# --- what is known of them ---


def test_the_clean_accuracy_that_is_expected(learned, attempt, digits):
    network = learned(Named)
    true = accuracy(network, digits)
    imported = attempt(network.state_dict(), mlp(), expect_clean=true)
    assert imported.record.clean_accuracy == pytest.approx(true)
    line = (
        f"clean accuracy on the 360 test images is {true:.2%}, expected were 75.00% ± 6.85 points; what may be wrong: "
    )
    with pytest.raises(BadInput, match=re.escape(line)):
        attempt(network.state_dict(), mlp(), expect_clean=0.75)
    with pytest.raises(BadInput, match=r"the --key, other data$"):
        attempt({"model": network.state_dict(), "ema": {"x": torch.ones(2)}}, mlp(), expect_clean=0.75)


def test_what_would_agree_is_named(learned, attempt, digits):
    network = learned(Named, mean=0.5, deviation=0.5)
    with pytest.raises(BadInput, match=re.escape("; with --mean 0.5 --deviation 0.5 it is ")):
        attempt(
            network.state_dict(),
            flipped(mlp()),
            expect_clean=accuracy(network, digits, 0.5, 0.5),
            mean=(0.9,),
            deviation=(0.1,),
        )


def test_both_orders_that_agree_are_asked_about(learned, attempt, monkeypatch):
    monkeypatch.setattr("core.jobs.importing.job.statistics_gap", lambda model, pixels: 0.2)
    monkeypatch.setattr("core.jobs.importing.job.tolerance", lambda expected, total: 1.0)
    with pytest.raises(BadInput, match=re.escape("agrees with --expect-clean 0.9 either way")):
        attempt(
            learned(Named, "before", "tanh").state_dict(), mlp(activation="tanh", batch_norm=True), expect_clean=0.9
        )


def flipped(trial):
    options = {**trial.architecture.options, "normalise": True}
    return dataclasses.replace(trial, architecture=dataclasses.replace(trial.architecture, options=options))


def test_the_tolerance_is_three_standard_errors_or_half_a_point():
    assert tolerance(0.942, 10_000) == pytest.approx(3 * (0.942 * 0.058 / 10_000) ** 0.5)
    assert tolerance(1.0, 10_000) == 0.005


# --- names ---


@pytest.mark.parametrize(
    "renamed",
    [
        lambda key: f"module.{key}",
        lambda key: f"_orig_mod.net.{key}",
        lambda key: f"backbone.body.{key}",
        lambda key: f"module.{key}" if key.startswith("fc1") else key,
        lambda key: {"fc1": "0", "fc2": "2", "fc3": "4"}[key[:3]] + key[3:],
        lambda key: {"fc1": "1", "fc2": "4", "fc3": "out"}[key[:3]] + key[3:],
        lambda key: {"fc1": "z", "fc2": "a", "fc3": "m"}[key[:3]] + key[3:],
    ],
)
def test_other_names_in_part_or_whole_load_the_same_function(renamed, learned, attempt, agrees):
    network = learned(Named)
    state = {renamed(key): value for key, value in network.state_dict().items()}
    imported = attempt({**state, "n_averaged": torch.tensor(7)}, mlp())
    assert agrees(imported, network)
    assert imported.record.guesses == ()


def test_names_in_another_order_than_shapes_are_refused_unless_accuracy_proves_them(learned, attempt, agrees, digits):
    network = learned(Named)
    swapped = {"fc1": "fc1", "fc2": "fc3", "fc3": "fc2"}
    state = {swapped[key[:3]] + key[3:]: value for key, value in network.state_dict().items()}
    with pytest.raises(BadInput, match="fc3 would come before fc2, against the numbers in their names; rename"):
        attempt(state, mlp())
    assert agrees(attempt(state, mlp(), expect_clean=accuracy(network, digits)), network)


class Deep(nn.Module):
    """Twelve layers of one shape: their order is all that tells them apart."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleList([nn.Linear(64, 8), *(nn.Linear(8, 8) for _ in range(12)), nn.Linear(8, 10)])

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = torch.tanh(2 * layer(x))
        return self.layers[-1](x)


def deep():
    network = Deep().eval()
    with torch.no_grad():
        scaled = Deep().eval()
        for layer in scaled.layers[:-1]:
            layer.weight *= 2
            layer.bias *= 2
    return network, scaled.state_dict(), trial_of(activation="tanh", hidden=[8] * 13, normalise=False)


def test_files_sorted_as_text_go_by_their_numbers(attempt, agrees):
    network, state, trial = deep()
    state = {key: state[key] for key in sorted(state)}
    assert list(state)[2].startswith("layers.1.")
    assert list(state)[4].startswith("layers.10.")
    imported = attempt(state, trial)
    assert agrees(imported, network)
    assert imported.record.guesses == ()


def test_an_order_that_only_the_file_has_is_a_guess_until_accuracy_proves_it(attempt, agrees, digits):
    network, state, trial = deep()
    names = [f"{word}{'' if number < 13 else 'x'}" for number, word in enumerate("ahcdbefgijklmn")]
    state = {f"{names[int(key.split('.')[1])]}.{key.split('.')[2]}": value for key, value in state.items()}
    imported = attempt(state, trial)
    assert agrees(imported, network)
    assert imported.record.guesses == (
        "h and c have the same shape, and only their order in the file says which comes first",
    )
    assert imported.notes[1].startswith("a guess: h and c have the same shape")
    proven = attempt(state, trial, expect_clean=accuracy(network, digits))
    assert proven.record.guesses == ()
    assert proven.trial.id == imported.trial.id


@pytest.mark.parametrize("seed", range(24))
def test_permuted_names_never_load_silently_into_another_function(seed, attempt, agrees):
    network, state, trial = deep()
    rng = random.Random(seed)
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
    names = [f"{rng.choice(['fc', 'fc', 'block.'])}{number}" for number in range(len(layers))]
    if seed % 4 == 0:
        names = [f"fc{number}" for number in range(len(layers))]
    places = list(range(len(layers)))
    if seed % 3 != 1:
        rng.shuffle(places)
    called = {layer: names[place] for layer, place in zip(layers, places, strict=True)}
    order = layers[:]
    if seed % 2:
        rng.shuffle(order)
        called = dict(zip(layers, names, strict=True))
    permuted = {f"{called[layer]}.{part}": state[f"{layer}.{part}"] for layer in order for part in ("weight", "bias")}
    try:
        imported = attempt(permuted, trial)
    except BadInput:
        return
    assert imported.record.guesses or agrees(imported, network)


def test_shuffled_layers_with_norms_are_placed_rightly_refused_or_a_guess():
    """Dense layers of one shape with norms of one shape between them, under names of many kinds, in every kind of order."""
    depth, ours, meant = 6, {}, {}
    for number in range(2 * depth - 1):
        kind = "bn" if number % 2 else "fc"
        meant[str(number)] = (kind, number // 2)
        ours |= {f"{number}.{part}": shape for part, shape in _PARTS[kind].items()}
    seen = collections.Counter()
    for seed in range(3000):
        rng = random.Random(seed)
        layers = list(meant.values())
        words = rng.sample(range(10, 99), len(layers))
        called = {
            0: {layer: f"{layer[0]}{layer[1] + 1}" for layer in layers},
            1: {layer: f"blocks.{layer[1]}.{layer[0]}" for layer in layers},
            2: dict(zip(layers, (f"{word}" for word in words), strict=True)),
            3: dict(zip(layers, (f"{rng.choice('abcdef')}{word}" for word in words), strict=True)),
        }[seed % 4]
        if rng.random() < 0.5:
            layers.sort(key=lambda layer: layer[0], reverse=True)  # norms declared behind all dense layers
        match rng.randrange(4):
            case 0:
                rng.shuffle(layers)
            case 1:
                first, second = rng.sample(range(len(layers)), 2)
                layers[first], layers[second] = layers[second], layers[first]
            case 2:
                layers.sort(key=lambda layer: called[layer])
        given = {f"{called[layer]}.{part}": shape for layer in layers for part, shape in _PARTS[layer[0]].items()}
        found = match(ours, given)
        of = {name: layer for layer, name in called.items()}
        right = all(
            of[theirs.rpartition(".")[0]] == meant[key.rpartition(".")[0]] for key, theirs in found.names.items()
        )
        assert right or found.guess or found.contradiction, seed
        seen[right, bool(found.guess), bool(found.contradiction)] += 1
    assert seen[True, False, False] > 500
    assert seen[False, False, True] > 500


_PARTS = {
    "fc": {"weight": (8, 8), "bias": (8,)},
    "bn": {"weight": (8,), "bias": (8,), "running_mean": (8,), "running_var": (8,)},
}


def test_residual_nets_of_others_need_no_guess(digits):
    """Their names say less than ours, but norms stand among the convolutions whose numbers agree."""
    entry = ARCHITECTURES["resnet18"]
    with torch.device("meta"):
        state = entry.build((3, 32, 32), 10, nn.ReLU, trial_of("resnet18").architecture.options).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if "num_batches" not in key}
    parts = {"body.0": "conv1", "body.1": "bn1", "body.3": "conv2", "body.4": "bn2"}

    def theirs(key):
        number, _, rest = key.partition(".")
        place = int(number)
        if place < 2 or place > 10:
            return f"{ {0: 'conv1', 1: 'bn1'}.get(place, 'linear') }.{rest}"
        for ours, name in parts.items():
            rest = rest.replace(ours, name)
        return f"layer{(place - 3) // 2 + 1}.{(place - 3) % 2}.{rest}"

    renamed = {theirs(key): shape for key, shape in shapes.items()}
    assert len(renamed) == len(shapes)
    matched = match(shapes, renamed)
    assert matched is not None
    assert dict(matched.names) == {key: theirs(key) for key in shapes}
    assert (matched.by, matched.guess, matched.contradiction) == ("order", None, None)
    shuffled = dict(sorted(renamed.items()))
    resorted = match(shapes, shuffled)
    assert dict(resorted.names) == dict(matched.names)
    assert "bn1 and layer1.0.bn1 have the same shape" in resorted.guess


def test_a_width_in_a_name_is_no_number_of_a_layer(learned, attempt, agrees):
    network = learned(Named)
    names = {"fc1": "fc32", "fc2": "fc24", "fc3": "fc10"}
    state = {names[key[:3]] + key[3:]: value for key, value in network.state_dict().items()}
    assert agrees(attempt(state, mlp()), network)


def test_a_flipped_byte_of_a_weight_is_seen(learned, attempt, tmp_path):
    torch.save(learned(Named).state_dict(), tmp_path / "whole.pt")
    content = bytearray((tmp_path / "whole.pt").read_bytes())
    content[len(content) // 2] ^= 1
    with pytest.raises(BadInput, match="is damaged, or cut short; copy it again"):
        attempt(bytes(content), mlp())
