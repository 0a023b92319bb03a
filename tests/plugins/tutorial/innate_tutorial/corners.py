"""The attack: which images to try. Whether they fool the model is for the engine to see."""

from core.engine.geometry import project, uniform


def corners(victim, x, y, samples, round, eps, attack):
    """x ± ε with random signs, which belong to the sample and the round, so that neighbours share no luck."""
    drawn = uniform(attack.seed, samples, round, x[0].numel(), "corners")
    signs = (drawn < 0.5).to(x.dtype).view_as(x) * 2 - 1
    return project(x + eps * signs, x, eps, attack.norm)
