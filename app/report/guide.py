"""One page from which a person or a program that never saw innate can run, read and explain a study.

What can be chosen, scores, verdicts, exit codes and views are listed from where they are defined; a test runs the commands.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from core.errors import ExitCode
from core.names import TRUST

_WIDTH = 80

STUDY = """\
name = "first"                         # how the study is addressed
dataset = "mnist5k"
architectures = ["kumar-cnn"]
optimizers = ["adam", {name = "sgd", lr = 0.1}]    # a name, or one with options
activations = ["relu", "tanh"]
defenses = ["none", {name = "fgsm-at", eps = 0.1}]
seeds = 3                              # 0, 1, 2; one seed answers nothing
test_samples = 200                     # left out: all
[training]
epochs = 3                             # hyperparameters, schedule …: here, too
[[attacks]]
name = "fgsm"
eps = [0.05, 0.1, 0.15]                # in pixel units of [0, 1]; "8/255" works
[[attacks]]
name = "pgd"
eps = [0.05, 0.1, 0.15]
steps = 10
[score]
eps = 0.1                              # where worst_case and retention are read
"""
"""The study file of the page."""

_PAGE = """\
# innate: how to run, read and explain a study

The question: how do optimizer, activation, architecture and defense change the
robustness of an image classifier to adversarial attack? You list choices; innate
trains every combination, attacks each model, and says what can be trusted.

## Words
- study: a named grid of choices, and the attacks to run on each of its models
- trial: one model, a cell of the grid with one seed; its id is a content address,
  so the same trial in two studies is trained once; a variant is a trial without
  its seed, which is what gets compared
- attack: a search for a small change of an image that fools the model; ε (eps) is
  how large it may be, in the norm linf or l2
- audit: harder attacks on a few survivors, to see by how much a number may be too
  high; every run ends with one
{scores}
- trust: the verdict on a number, see below

## The shortest path
```sh
innate doctor                          # is everything there?
innate run quick                       # minutes on two cores; no download
```
A study of your own (first.toml stands below), in the background:
```sh
innate init study.toml                 # a file with every key explained
innate plan first.toml                 # the grid, what is new, how long
innate run first.toml --detach         # queues it, and makes sure a worker runs
innate wait --study first              # until it is done; 1 if a trial failed
innate status --study first            # what runs, what waits, what failed; why
```
Without `--detach` it is done here: Ctrl-C stops cleanly, and the same command goes
on. Nothing is trained twice.

## A study file
```toml
{study}```
Any key can be set for one run: `--set training.epochs=5`. Names to choose from
(options and sources: `innate optimizers`, `innate attacks` …):
{choices}

## Reading it
```sh
innate results --study first           # scores of variants, 95 % intervals
innate results --study first --by optimizer --score worst_case
innate findings --study first          # claims and effects, with verdicts
innate chart curves --study first      # accuracy against ε
innate trials --study first            # every model, with its id
innate show TRIAL                      # all about one; why it is suspect, too
innate report first -o first.md        # all of it written up
```
Trust stands beside every number:
{trust}

A finding is supported, contradicted or inconclusive, with an effect (a fraction in
--json: 0.05 is 5 points), its 95 % interval and n, the pairs. Inconclusive means
not settled, never "no effect". Tell effect, interval and the number of seeds, and
which models are suspect. `obstacles` says what is in the way, and which command
helps:
```sh
innate findings --study first --settle # queues the seeds that would settle it
innate attack --study first --level    # gives every model the same attacks
innate attack --study first --audit --set samples=256    # tighter bounds
innate worker start                    # works on what has been queued
```

## For programs
Data is on stdout, narration on stderr. `--json` prints one document,
`{{"schema_version": 1, "<noun>": [row, …]}}`, the noun being the command's name (rows of query, trial of show); shares
are fractions, `innate` is 0 to 100, unknown is null. Exit codes: {codes}.
```sh
innate results --study first --json
innate query "SELECT optimizer, activation, innate, trust FROM v_leaderboard
  WHERE study = 'first' AND trust <> 'invalid' ORDER BY innate DESC"
innate query --schema v_results        # every column explained; --json, too
```
A query only reads. The views, and what one row of them is: {views}.

## Having it again, and elsewhere
```sh
innate reproduce TRIAL                 # trains it again: are the bits the same?
innate export sqlite first.db --study first --no-examples
innate --db first.db results           # reads any copy, and never writes to it
innate export csv first.csv --study first
innate export datasette site           # a folder to browse
```

## Mistakes that are made often
- Ranking what is invalid: a model that guesses cannot be fooled, which is no answer.
- Calling a difference real though its interval holds 0, or one seed shows it.
- Reading what one attack leaves as robustness: take worst_case, and the audit.
- Comparing numbers at other ε, in other norms, or on other test images.
- Blaming an optimizer for its default learning rate: `hyperparameters = "tuned"`
  under [training] chooses one for each cell, with the same budget for all.
- Editing the grid of a finished study: under its name it changes that study.
"""

_TRUST = {
    "ok": "nothing that was looked at speaks against it",
    "suspect": "it may be too high, or stands for less than it seems; name the reason "
    "(`innate show TRIAL`, trust_reasons) wherever you use the number",
    "invalid": "the model learned nothing, or the number means nothing: never rank or compare it",
}

_CODES = {
    ExitCode.OK: "done",
    ExitCode.TRIAL_FAILED: "a trial failed, or is not reproduced",
    ExitCode.BAD_INPUT: "bad input, told in one line",
    ExitCode.NOT_FOUND: "no such study, trial or file",
    ExitCode.UNAVAILABLE: "no worker, a busy database, no such device, or time is up",
    ExitCode.INTERRUPTED: "interrupted",
}


def guide() -> str:
    """The page, plain Markdown, at most 80 characters wide."""
    from core.verdict.scoring import SCORES
    from storage.views import VIEWS

    page = _PAGE.format(
        scores=_listed((score.name, score.summary) for score in SCORES.values()),
        study=STUDY,
        choices=_listed(_choices()),
        trust=_listed((name, _TRUST[name]) for name in TRUST),
        codes="; ".join(f"{code:d} {_CODES[code]}" for code in ExitCode),
        views="; ".join(f"{view.name}: {view.row}" for view in VIEWS),
    )
    return "\n".join(_laid_out(page.splitlines())) + "\n"


def _laid_out(lines: Iterable[str]) -> Iterator[str]:
    """The page with its paragraphs and items filled up to the width; blocks of code and headings as they are."""
    block, in_code = list[str](), False

    def filled() -> list[str]:
        text, indent = " ".join(block), "  " if block and block[0].startswith("- ") else ""
        block.clear()
        return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)

    for line in lines:
        if in_code or not line or line.startswith(("#", "- ", "```")):
            yield from filled()
        if line.startswith("```"):
            in_code = not in_code
            yield line
        elif in_code or not line or line.startswith("#"):
            yield line
        else:
            block.append(line.strip())
    yield from filled()


def _choices() -> Iterable[tuple[str, str]]:
    from core.attacks import ATTACKS
    from core.datasets import DATASETS
    from core.models.activations import ACTIVATIONS
    from core.models.architectures import ARCHITECTURES
    from core.study.presets import preset_names
    from core.training.defenses import DEFENSES
    from core.training.optimizers import OPTIMIZERS

    more = {"architectures": " and torchvision:NAME", "datasets": ' ("folder:PATH", "npz:PATH")'}
    for name, registry in (
        ("datasets", DATASETS), ("architectures", ARCHITECTURES), ("optimizers", OPTIMIZERS), ("activations", ACTIVATIONS),
        ("defenses", DEFENSES), ("attacks", ATTACKS),
    ):  # fmt: skip
        yield name, ", ".join(entry.name for entry in registry.values()) + more.get(name, "")
    yield "presets", ", ".join(preset_names()) + " (studies that can be run by name)"


def _listed(items: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {words}" for name, words in items)
