"""Optimizers of torch.optim, with torch's and Keras's defaults and update rules. To add one: an entry here.

Every optimizer is in that takes plain gradients of any shape. Not here: Muon (refuses convolution weights), LBFGS (needs
a closure that is evaluated several times a step), SparseAdam (takes sparse gradients only).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.records.choice import Choice
from core.records.study import Search
from core.registry import Parameter, Registry, resolve_options

if TYPE_CHECKING:
    import torch


_USUALLY_TUNED = Search("lr", 1e-4, 1e-2)


@dataclass(frozen=True)
class Optimizer:
    """`module` is the class in torch.optim; `keras` holds what Keras's defaults change, the update rule among them where
    torch's is another (core.training.keras_rules). `torch_only` are options that Keras's rule does not have; at
    `same_without` = 0 the two rules are one, and torch's is taken. `tuned` is what hyperparameters = "tuned" chooses, and the
    range that it is looked for in, the same for both rules: two decades about what short trainings of small nets do well with."""

    name: str
    summary: str
    source: str
    module: str
    parameters: tuple[Parameter, ...]
    keras: Mapping[str, Any] = field(default_factory=dict)
    torch_only: tuple[str, ...] = ()
    same_without: str = ""
    tuned: Search = _USUALLY_TUNED


def _lr(default: float) -> Parameter:
    return Parameter("lr", "float", default, "learning rate", low=0.0, open_low=True)


def _eps(default: float) -> Parameter:
    return Parameter("eps", "float", default, "added to the denominator", low=0.0)


def _decay(default: float = 0.0) -> Parameter:
    return Parameter("weight_decay", "float", default, "ℓ2 penalty (adamw: decoupled decay)", low=0.0)


def _unit(name: str, default: float, summary: str) -> Parameter:
    return Parameter(name, "float", default, summary, low=0.0, high=1.0, open_high=True)


def _flag(name: str, summary: str) -> Parameter:
    return Parameter(name, "bool", False, summary)


_BETAS = (_unit("beta1", 0.9, "decay of the first moment"), _unit("beta2", 0.999, "decay of the second moment"))
_MOMENTUM = Parameter("momentum", "float", 0.0, "momentum", low=0.0)

_RULE = Parameter(
    "rule",
    "str",
    "torch",
    "whose update rule where the two differ",
    choices=("torch", "keras"),
    omit_default=True,
)

# Keras 3's defaults (keras.optimizers). Where ε stands is part of the rule, and matters: RMSprop's first step at a gradient
# of 1e-4 is a tenth of what torch's rule makes of the same numbers, Adam's at 1e-6 a quarter.
_KERAS_EPS = 1e-7

OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    (
        Optimizer(
            "adam",
            "adaptive moments",
            "Kingma, Ba 2014",
            "Adam",
            (_lr(1e-3), *_BETAS, _eps(1e-8), _decay(), _flag("amsgrad", "keep the maximum of second moments"), _RULE),
            {"eps": _KERAS_EPS, "rule": "keras"},
        ),
        Optimizer(
            "adadelta",
            "steps from the ratio of running averages",
            "Zeiler 2012",
            "Adadelta",
            (_lr(1.0), _unit("rho", 0.9, "decay of the averages"), _eps(1e-6), _decay()),
            {"lr": 1e-3, "rho": 0.95, "eps": _KERAS_EPS},
            tuned=Search("lr", 0.1, 10.0),
        ),
        Optimizer(
            "adagrad",
            "steps shrink with the sum of squared gradients",
            "Duchi et al. 2011",
            "Adagrad",
            (
                _lr(1e-2),
                Parameter("lr_decay", "float", 0.0, "decay of the learning rate per step", low=0.0),
                Parameter("initial_accumulator_value", "float", 0.0, "where the sum starts", low=0.0),
                _eps(1e-10),
                _decay(),
                _RULE,
            ),
            {"lr": 1e-3, "initial_accumulator_value": 0.1, "eps": _KERAS_EPS, "rule": "keras"},
            torch_only=("lr_decay",),
            tuned=Search("lr", 1e-3, 1e-1),
        ),
        Optimizer(
            "adamax",
            "adam with the infinity norm",
            "Kingma, Ba 2014, section 7",
            "Adamax",
            (_lr(2e-3), *_BETAS, _eps(1e-8), _decay(), _RULE),
            {"lr": 1e-3, "eps": _KERAS_EPS, "rule": "keras"},
            tuned=Search("lr", 3e-4, 3e-2),
        ),
        Optimizer(
            "nadam",
            "adam with Nesterov momentum",
            "Dozat 2016",
            "NAdam",
            (
                _lr(2e-3),
                *_BETAS,
                _eps(1e-8),
                _decay(),
                Parameter("momentum_decay", "float", 4e-3, "decay of the momentum schedule", low=0.0),
            ),
            {"lr": 1e-3, "eps": _KERAS_EPS, "momentum_decay": 1.0},
        ),
        Optimizer(
            "rmsprop",
            "steps divided by a running root mean square",
            "Tieleman, Hinton 2012",
            "RMSprop",
            (
                _lr(1e-2),
                _unit("alpha", 0.99, "decay of the mean square (Keras: ρ)"),
                _eps(1e-8),
                _decay(),
                _MOMENTUM,
                _flag("centered", "divide by the standard deviation instead"),
                _RULE,
            ),
            {"lr": 1e-3, "alpha": 0.9, "eps": _KERAS_EPS, "rule": "keras"},
        ),
        Optimizer(
            "sgd",
            "stochastic gradient descent",
            "Robbins, Monro 1951",
            "SGD",
            (
                _lr(1e-3),
                _MOMENTUM,
                Parameter("dampening", "float", 0.0, "dampening of the momentum"),
                _decay(),
                _flag("nesterov", "Nesterov momentum (needs momentum above 0)"),
                _RULE,
            ),
            {"lr": 1e-2, "rule": "keras"},
            torch_only=("dampening",),
            same_without="momentum",
            tuned=Search("lr", 1e-2, 1.0),
        ),
        Optimizer(
            "adamw",
            "adam with decoupled weight decay",
            "Loshchilov, Hutter 2017",
            "AdamW",
            (
                _lr(1e-3),
                *_BETAS,
                _eps(1e-8),
                _decay(1e-2),
                _flag("amsgrad", "keep the maximum of second moments"),
                _RULE,
            ),
            {"weight_decay": 4e-3, "eps": _KERAS_EPS, "rule": "keras"},
        ),
        Optimizer(
            "radam",
            "adam with rectified variance",
            "Liu et al. 2019",
            "RAdam",
            (_lr(1e-3), *_BETAS, _eps(1e-8), _decay()),
        ),
        Optimizer(
            "asgd",
            "averaged stochastic gradient descent",
            "Polyak, Juditsky 1992",
            "ASGD",
            (
                _lr(1e-2),
                Parameter("lambd", "float", 1e-4, "decay term", low=0.0),
                Parameter("alpha", "float", 0.75, "power of the learning rate's decay", low=0.0),
                Parameter("t0", "float", 1e6, "step at which averaging starts", low=0.0),
                _decay(),
            ),
            tuned=Search("lr", 1e-2, 1.0),
        ),
        Optimizer(
            "rprop",
            "steps from the signs of full gradients",
            "Riedmiller, Braun 1993",
            "Rprop",
            (
                _lr(1e-2),
                Parameter(
                    "eta_minus",
                    "float",
                    0.5,
                    "shrink at a change of sign",
                    low=0.0,
                    high=1.0,
                    open_low=True,
                    open_high=True,
                ),
                Parameter("eta_plus", "float", 1.2, "growth at the same sign", low=1.0, open_low=True),
                Parameter("step_min", "float", 1e-6, "least step", low=0.0),
                Parameter("step_max", "float", 50.0, "largest step", low=0.0),
            ),
        ),
        Optimizer(
            "adafactor",
            "adaptive steps from factored second moments",
            "Shazeer, Stern 2018",
            "Adafactor",
            (
                _lr(1e-2),
                Parameter("beta2_decay", "float", -0.8, "power of the second moment's decay", high=0.0),
                Parameter("d", "float", 1.0, "clipping threshold", low=0.0, open_low=True),
                _decay(),
                _RULE,
            ),
            {"lr": 1e-3, "rule": "keras"},
            tuned=Search("lr", 1e-3, 1e-1),
        ),
    ),
)

PROFILES = ("torch", "keras")


def resolve(name: str, given: Mapping[str, Any], profile: str, weight_decay: float, where: str) -> Choice:
    """An optimizer with every hyperparameter: what is given, else the training key, else the profile's defaults.

    Raises BadInput naming `where` for an unknown name or option, a value out of range, or one that the rule does not have.
    """
    entry = OPTIMIZERS.find(name, where)
    defaults: dict[str, Any] = dict(entry.keras) if profile == "keras" else {}
    if weight_decay and any(parameter.name == "weight_decay" for parameter in entry.parameters):
        defaults["weight_decay"] = weight_decay
    options = resolve_options(entry, {**defaults, **given}, where)
    if entry.same_without and not options[entry.same_without]:
        options.pop("rule", None)
    if options.get("nesterov") and not (options["momentum"] and options["dampening"] == 0.0):
        raise BadInput.at(f"{where}.nesterov", "Nesterov momentum needs momentum above 0 and no dampening")
    if options.get("d", 1.0) < 1.0 and options.get("rule") != "keras":
        raise BadInput.at(f"{where}.d", f"torch's adafactor clips at 1 at least, got {options['d']:g}")
    if options.get("rule") == "keras":
        for parameter in entry.parameters:
            if parameter.name in entry.torch_only and options[parameter.name] != parameter.default:
                raise BadInput.at(
                    f"{where}.{parameter.name}",
                    f'Keras\'s {name} has no such option; leave it at {parameter.default:g}, or add rule = "torch"',
                )
    return Choice(name, options)


def build(
    choice: Choice, parameters: Iterable[torch.nn.Parameter], rate: torch.Tensor | None = None
) -> torch.optim.Optimizer:
    """The torch optimizer; a fresh one for each model (the notebooks shared one object, and models collapsed).

    With `rate`, 0-d and beside the parameters, a form whose step a CUDA graph can capture once an eager one has made its
    state: its learning rate is that tensor, to be refilled before each replay. The states of the two forms pass from one to
    the other.
    """
    parameters, options = list(parameters), dict(choice.options)
    if options.pop("rule", "torch") == "keras":
        from core.training.keras_rules import RULES

        return RULES[choice.name](parameters, **options | ({} if rate is None else {"lr": rate}))
    from torch import optim

    for pair, (first, second) in {"betas": ("beta1", "beta2"), "etas": ("eta_minus", "eta_plus")}.items():
        if first in options:
            options[pair] = (options.pop(first), options.pop(second))
    if choice.name == "rprop":
        options["step_sizes"] = (options.pop("step_min"), options.pop("step_max"))
    optimizer: torch.optim.Optimizer = getattr(optim, OPTIMIZERS[choice.name].module)(parameters, **options)
    if rate is None:
        return optimizer
    from core.training.torch_rules import RULES as CAPTURABLE

    return CAPTURABLE[choice.name](parameters, **optimizer.defaults | {"lr": rate})
