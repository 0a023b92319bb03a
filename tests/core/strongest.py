"""The strongest attacks known, that numbers are held against: the product's ensemble, and one that shares no code with it."""

import copy

import torch

from core.attacks import resolve
from core.evaluation.evaluate import evaluate


def margin_attack(model, x, y, eps, norm, steps=50):
    """[n] bool: who falls to an attack of these tests' own: ascent of the margin in float64, momentum, steps that shrink,
    from the image and from a random start; confirmed in fp32."""
    double, fallen = copy.deepcopy(model).double(), torch.zeros(len(x), dtype=torch.bool)
    generator, clean = torch.Generator().manual_seed(11), x.double()

    def unit(g):
        return g.sign() if norm == "linf" else g / g.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None, None]

    for far in (0.0, 1.0):
        start = eps * unit(torch.randn(clean.shape, generator=generator, dtype=torch.float64))
        image, velocity = inside(clean + far * start, clean, eps, norm), torch.zeros_like(clean)
        for step in range(steps):
            leaf = image.clone().requires_grad_()
            z = double(leaf)
            height = z.scatter(1, y[:, None], -1e300).amax(dim=1) - z.gather(1, y[:, None]).squeeze(1)
            (slope,) = torch.autograd.grad(height.sum(), leaf)
            slope = slope / slope.flatten(1).abs().amax(dim=1).clamp_min(1e-300)[:, None, None, None]
            velocity = (
                0.75 * velocity + slope / slope.flatten(1).abs().mean(dim=1).clamp_min(1e-30)[:, None, None, None]
            )
            size = eps * (0.5 * (1 - step / steps) + 0.01)
            image = inside(image + size * unit(velocity), clean, eps, norm)
            with torch.no_grad():
                fallen |= model(inside(image.float(), x, eps * (1 - 1e-6), norm)).argmax(dim=1) != y
    return fallen


def inside(image, x, eps, norm):
    if norm == "linf":
        return torch.maximum(torch.minimum(image, x + eps), x - eps).clamp(0, 1)
    delta = image - x
    return (x + delta * (eps / delta.flatten(1).norm(dim=1).clamp_min(1e-30)).clamp_max(1)[:, None, None, None]).clamp(
        0, 1
    )


def strongest(model, tests, correct, norm, radii, queries, steps=40):
    """ε → share that stands against `standard` and the attack above; the radii ascend."""
    spec = resolve("standard", {"eps": list(radii), "norm": norm, "steps": steps, "queries": queries}, "strongest")
    *_, last = evaluate(model, tests, spec, correct)
    left = {}
    for ledger in last.ledgers:
        rows = torch.nonzero(torch.from_numpy(ledger.survived.copy())).flatten()
        fallen = margin_attack(model, tests.pixels(rows), tests.labels[rows], ledger.eps, norm)
        left[ledger.eps] = (len(rows) - int(fallen.sum())) / len(tests)
    return left
