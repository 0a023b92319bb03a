"""Forty models as people train them, and six trained as they should not, in studies that attack them as people do."""

E4, E3, SMALL, L2 = [0.05, 0.1, 0.15, 0.3], [0.05, 0.1, 0.15], [0.02, 0.05, 0.1], [0.5, 1.0, 2.0]


def linf(eps, steps=40, alpha="eps/4"):
    return [{"name": "fgsm", "eps": eps}, {"name": "pgd", "eps": eps, "steps": steps, "alpha": alpha}]


BIM = {"name": "bim", "eps": E4, "steps": 40, "alpha": 0.01}
BOTH = [
    *linf(SMALL),
    {"name": "fgsm", "norm": "l2", "eps": L2},
    {"name": "pgd", "norm": "l2", "eps": L2, "steps": 40},
]
NARROW = [{"name": "kumar-cnn", "width": 0.25}]
RMSPROP = {"name": "rmsprop", "lr": 1e-3}


def study(
    name, architectures, optimizers, activations, epochs, attacks, *, dataset="mnist5k", defenses=("none",), **training
):
    return {
        "name": name,
        "dataset": dataset,
        "architectures": architectures,
        "optimizers": optimizers,
        "activations": activations,
        "defenses": list(defenses),
        "seeds": 1,
        "test_samples": 200,
        "training": {"epochs": epochs, **training},
        "attacks": attacks,
    }


ORDINARY = [
    study("digits", ["mlp"], ["adam", {"name": "sgd", "lr": 0.1, "momentum": 0.9}], ["relu"], 20, BOTH, dataset="digits"),
    study("mlp", ["mlp"], ["adam", RMSPROP, {"name": "sgd", "lr": 0.1}], ["relu", "tanh", "sigmoid", "elu"], 8, BOTH),
    study("lenet", ["lenet5"], ["adam", "nadam"], ["relu", "tanh"], 6, [*linf(E3), *BOTH[2:]]),
    study(
        "narrow",
        NARROW,
        ["adam", {"name": "adam", "lr": 0.005}, {**RMSPROP, "alpha": 0.9}, {"name": "sgd", "lr": 0.05, "momentum": 0.9}],
        ["relu", "silu", "tanh"],
        6,
        [*linf(E4, alpha=0.01), BIM],
        initialisation="glorot",
    ),
    study("quick", ["kumar-cnn"], ["adam", RMSPROP], ["relu", "tanh", "elu"], 3, linf(E3, steps=10)),
    study(
        "defended", ["mlp"], ["adam"], ["relu", "tanh"], 6, linf([0.05, 0.1, 0.2]),
        defenses=[{"name": "pgd-at", "eps": 0.1}, {"name": "trades", "eps": 0.1}],
    ),
]  # fmt: skip
CANARIES = [
    study(
        "protocol",
        NARROW,
        [{"name": "adam", "lr": 0.005}],
        ["relu", "silu"],
        18,
        [linf(E4)[0], BIM],
        initialisation="glorot",
    ),
    study("fast", ["mlp"], [{"name": "adam", "lr": 0.01}], ["tanh", "sigmoid"], 10, BOTH),
    study("long", ["mlp"], [{"name": "adam", "lr": 0.005}], ["relu"], 20, BOTH),
    study("smooth", ["mlp"], ["adam"], ["relu", "tanh"], 8, BOTH, label_smoothing=0.9),
]
