"""A plugin for innate: what it adds, and nothing heavy. The names are listed by commands that have no torch."""

from core.plugins import Architecture, Attack, Dataset, Parameter, Plugin, Score, imported, restarts


def kept_squared(readings):
    """[B]: smooth, in [0, 1], and larger for the better model."""
    if readings.worst is None:
        return None
    return (readings.worst / readings.clean) ** 2


plugin = Plugin(
    architectures=(
        Architecture(
            "tiny-cnn",
            "one convolution, average pooling and a dense layer",
            "the tutorial",
            imported("innate_tutorial.nets:tiny_cnn"),
            smallest=4,
            parameters=(Parameter("channels", "int", 8, "feature maps", low=1, high=256),),
        ),
    ),
    attacks=(
        Attack(
            "corners",
            "random corners of the ball: every pixel at x ± ε, by a sign of its own",
            "the tutorial",
            (restarts(4, "corners tried, each on those that still stand"),),
            norms=("linf",),
            propose=imported("innate_tutorial.corners:corners"),
            black_box=True,
        ),
    ),
    datasets=(
        Dataset(
            "shapes",
            "bars that stand or lie, 8×8 grey, computed",
            "the tutorial",
            (1, 8, 8),
            ("upright", "lying"),
            160,
            80,
            load=imported("innate_tutorial.shapes:load"),
        ),
    ),
    scores=(
        Score(
            "kept-squared",
            "(worst_case / clean_accuracy)²: retention that forgives little",
            "the tutorial",
            kept_squared,
            keep_when_degenerate=False,
        ),
    ),
)
