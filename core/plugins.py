"""What the author of a plugin writes against: a package that adds architectures, attacks, data sets, defenses or scores.

The package's pyproject.toml names it,

    [project.entry-points."innate.plugins"]
    NAME = "your_package:plugin"

and `your_package` holds

    from core.plugins import Attack, Parameter, Plugin, imported

    CORNERS = Attack("corners", "what it does", "where it is from", (), propose=imported("your_package.corners:corners"))
    plugin = Plugin(attacks=(CORNERS,))

`plugin` may be a function without arguments, too. Its entries are called NAME:ENTRY everywhere: in study files, in listings
(with "plugin NAME VERSION" as their source), in every identity. Importing your_package must be quick, print nothing and load
no torch, since the names are listed by commands that have none; `imported` names a function that is imported once it is called.
What an entry or its `engine` says is part of identities: raise `engine` when the same options give other results than before, so
that what is stored is not taken for them. The version of your package is recorded with each attempt that uses it, and is in no
identity. `innate doctor` tells what is wrong with a plugin.

Shapes and promises. Pixels are float32 in [0, 1], x [n, c, h, w]; y [n] are the true labels; `samples` [n] the indices of the
images in their data set. `eps` is in the units of pixels, in `attack.norm`, "linf" or "l2".

`Architecture.build((c, h, w), classes, activation, options)` gives a torch module from images [n, c, h, w] to logits
[n, classes]. `activation()` makes the study's activation, fresh at every call. The global random stream is seeded by the trial
beforehand: whatever draws initial weights in the usual way is reproducible. `options` are the entry's parameters, without
`normalise`, which every architecture has and which is dealt with before your module sees an image.

`Attack` gives exactly one of
  `propose(victim, x, y, samples, round, eps, attack)` → images like x to try at that radius, `eps` being one number or [n]. It
      is asked again for each of the option `restarts`, with the images that still stand;
  `direction(victim, x, y, samples, draw, attack)` → d like x: the engine tries x + ε·d, brought back into ball and box, at
      every ε;
  `minimise(victim, x, y, samples, attack)` → images like x, as near to x as they fool the model, x where none does. It
      names no ε, and the engine measures the distances.
`victim.logits(x)` and `victim.gradient(x, y)` (∇ₓ of a loss, and the logits) count as the attack's cost; `attack.params`
holds the options, `attack.seed` the seed. `core.engine.geometry` has what else one needs: `uniform(attack.seed, samples,
draw, count, stream)` [n, count] draws what belongs to a sample, whatever batch it is in, and `project(images, x, eps, norm)`
brings images back into ball and box. Success is not yours to claim: an image counts if a fresh fp32 pass says that the model
errs on it, and it lies within ball and box; images outside that fool the model make the number suspect. Changing the model
fails the trial.

`Dataset.load(folder)` gives `Arrays`: uint8 [n, c, h, w] and whole labels [n] from 0, of just the `shape`, `classes`,
`train_size` and `test_size` that the entry says. `folder` is `Dataset.folder` under the data root; a set that is computed has
none, and must come out the same each time. The digest of the content tells two versions of a set apart.

`Score.compute(readings)` gives one number for each of the B rows of `Readings` [B], NaN where it is undefined, None where the
study has no attack to score. It must be smooth, must be larger for the better model, and lie in [0, 1] (`percent=True`) or
[0, 100]. It is computed from ledgers, so studies that are done have it too.

`Defense.objective` gives a `BatchLoss`: `core.training.defenses.entry` says what is asked of it.
"""

from __future__ import annotations

from core.datasets.arrays import Arrays
from core.datasets.named import Dataset
from core.engine.attack import Attack, restarts, steps
from core.models.architectures.entry import Architecture
from core.plugged import Plugin, imported
from core.registry import Parameter
from core.training.defenses.entry import BatchLoss, Defense
from core.verdict.scoring.entry import Readings
from core.verdict.scoring.entry import ScoreEntry as Score

__all__ = [
    "Architecture",
    "Arrays",
    "Attack",
    "BatchLoss",
    "Dataset",
    "Defense",
    "Parameter",
    "Plugin",
    "Readings",
    "Score",
    "imported",
    "restarts",
    "steps",
]
