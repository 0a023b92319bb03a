"""The read views, column by column: the one place that says what each number is. `innate query --schema`, Parquet files and
Datasette read it; a test holds it against the views as the migrations leave them, and against real rows.

SQLite knows neither truth values nor JSON: "boolean" is 0 or 1, "json" is text. `type` says what a column means, and so what it
becomes where there are such types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from core.names import TRUST
from core.traits import TRAITS
from storage.queries import STATES

Type = Literal["text", "integer", "real", "boolean", "json"]


@dataclass(frozen=True)
class Column:
    """One column. `unit` is empty for text and pure numbers; `low` and `high`, where given, are the ends of the range, both
    included; `choices` are all its values, where they are few. `null` says when it is NULL; empty: never."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    null: str = ""

    @property
    def span(self) -> str:
        """What values it can have: "0 to 1", "≥ 0", "ok, suspect, invalid"; empty where anything goes."""
        if self.choices:
            return ", ".join(self.choices)
        if self.type == "boolean":
            return "0 or 1"
        if self.low is None:
            return ""
        return f"≥ {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"

    @property
    def told(self) -> str:
        """All that is said of it in one sentence, for programs that have room for no more."""
        about = ", ".join(part for part in (self.unit, self.span) if part)
        never = f"; NULL: {self.null}" if self.null else ""
        return f"{self.meaning}{f' ({about})' if about else ''}{never}"


@dataclass(frozen=True)
class View:
    """A view: what one row of it is, and its columns in their order."""

    name: str
    row: str
    about: str
    columns: tuple[Column, ...]


def _share(name: str, meaning: str, null: str = "") -> Column:
    return Column(name, "real", meaning, "fraction", 0, 1, null=null)


def _count(name: str, meaning: str, unit: str = "", low: float = 0, null: str = "") -> Column:
    return Column(name, "integer", meaning, unit, low, null=null)


def _seconds(name: str, meaning: str, null: str = "") -> Column:
    return Column(name, "real", meaning, "seconds", 0, null=null)


def _flag(name: str, meaning: str, null: str = "") -> Column:
    return Column(name, "boolean", meaning, null=null)


def _but(columns: Iterable[Column], *others: Column) -> tuple[Column, ...]:
    """The same columns, with some of them replaced by name."""
    by_name = {one.name: one for one in others}
    return tuple(by_name.get(one.name, one) for one in columns)


_IMPORTED = "imported weights that do not say"
_STUDY = Column("study", "text", "name of the study")
_TRIAL = Column("trial_id", "text", "content address of the trial, 64 hex digits; its first 10 are shown elsewhere")
_VARIANT = Column("variant_id", "text", "content address of the variant: the trial without its seed")
_DATASET = Column("dataset", "text", "data set, as the study file names it")
_LEVELS = (
    Column("architecture", "text", "registry name of the architecture"),
    Column("optimizer", "text", "registry name of the optimizer", null=_IMPORTED),
    Column("activation", "text", "registry name of the activation", null=_IMPORTED),
    Column("defense", "text", "registry name of the defense; none without one", null=_IMPORTED),
)
_OPTIONS = (
    Column("architecture_options", "json", "the architecture's options, resolved"),
    Column(
        "optimizer_options",
        "json",
        'the optimizer\'s options, resolved; "tuned" is one that was chosen for it',
        null=_IMPORTED,
    ),
    Column("activation_options", "json", "the activation's options, resolved", null=_IMPORTED),
    Column("defense_options", "json", "the defense's options, resolved", null=_IMPORTED),
)
_SEED = _count("seed", "seed of initialisation and data order", null="imported weights")
_MODEL = (_STUDY, _TRIAL, _VARIANT, _DATASET, *_LEVELS, _SEED)
_NO_STUDY = replace(_STUDY, null="a trial that is in no study")

_NORM = Column("norm", "text", "norm of the attack's ball: linf or l2")
_EPS = Column("eps", "real", "radius ε of that ball", "pixel units of [0, 1]", 0)
_TESTED = _count("samples", "test images attacked", "images", 1)
_CLEAN = _share("clean_accuracy", "share of clean test images classified rightly")
_AUDITED = "no audit"
_OVERSTATED = _share(
    "overstated_at_most",
    "how much of all images the worst case may be too high by, against the attacks that the audit ran (95 %)",
    _AUDITED,
)
_FELL = _count("fell", "how many of them the audit's attacks broke", "images", null=_AUDITED)
_DRAWN = _count("audited", "survivors that the audit's last round drew", "images", null=_AUDITED)
_TRIED = Column("audit_attacks", "json", "attacks that the audit tried, a list", null=_AUDITED)
_REASONS = Column("trust_reasons", "json", "why, a list of sentences", null="not judged")


def _trust(meaning: str, null: str = "", name: str = "trust") -> Column:
    return Column(name, "text", meaning, choices=TRUST, null=null)


TRIALS = View(
    "v_trials",
    "trial × study, and per trial in no study",
    "Every model, what it is made of and how far it is.",
    (
        *_but(_MODEL, _NO_STUDY),
        Column(
            "state",
            "text",
            "how far it is in that study; in none, whether it was trained",
            choices=STATES,
        ),
        Column("reason", "text", "why it failed or waits", null="nothing to say"),
        _count("attempts", "executions by a worker"),
        replace(_CLEAN, null="not trained yet"),
        Column("initial_digest", "text", "SHA-256 of the initial weights", null="not begun, or imported"),
        Column("final_digest", "text", "SHA-256 of the trained weights", null="not trained yet"),
        _seconds("train_seconds", "time that training took", "not trained yet, or imported"),
        _trust("verdict on the model in that study, or in the one that it left", "not judged yet"),
        Column("priority", "integer", "larger goes first in the queue; 0 in no study"),
        _count("position", "place in the study's grid, from 0"),
        _count("train_samples", "training images; drawn with a fixed seed", "images", 1, "all of them"),
        *_OPTIONS,
        Column("training", "json", "training keys, resolved: epochs, batch_size, precision …", null="imported weights"),
        Column(
            "left_study", "text", "of a trial in no study: the last that it was in", null="in a study, or not known"
        ),
        Column("left_at", "real", "when it left that", "Unix seconds", 0, null="in a study, or not known"),
    ),
)

RESULTS = View(
    "v_results",
    "evaluation × ε × study, and per evaluation × ε of a trial in no study",
    "What each attack leaves of each model, of the study's own attacks and those added to its trials.",
    (
        *_but(_MODEL, _NO_STUDY),
        Column("attack", "text", "registry name of the attack"),
        Column("attack_id", "text", "content address of the attack with all of its parameters"),
        _NORM,
        replace(_EPS, null="a minimum-norm attack in a study that names no ε in its norm"),
        _TESTED,
        _CLEAN,
        _share("robust_accuracy", "share of test images classified rightly and still so under this attack"),
        _trust("the worst of the verdicts on attack and model; what is invalid is not to be compared", "not judged"),
        _count("forward_passes", "images sent forward through the model, over all ε of the sweep", "passes"),
        _count("backward_passes", "images sent backward, over all ε of the sweep", "passes"),
        _seconds("seconds", "time that the sweep over all ε took"),
        _REASONS,
        _share(
            "adversarial_accuracy",
            "share of adversarial images classified rightly, wherever the clean one was wrong, too",
            "minimum-norm attacks, or not recorded",
        ),
        _flag("added", "whether the attack was added to this trial, and is none of the study's own"),
        Column("crafting", "text", "precision in which images were crafted; each is confirmed in fp32", null="unknown"),
        _count("batch_size", "images attacked at a time", "images", 1, "unknown"),
        Column("notes", "json", "what the attack had to say, a list", null="nothing recorded"),
        Column("attack_spec", "json", "the attack in full: name, norm, eps, parameters, seed"),
        *_OPTIONS,
        Column(
            "median_distance",
            "real",
            "median distance to the nearest adversarial image",
            "pixel units, in the norm",
            0,
            null="attacks at given ε, or over half of the images were not broken",
        ),
        _trust("verdict on this evaluation alone", "not judged", "attack_trust"),
        _trust("verdict on the model in that study", "not judged yet", "model_trust"),
        _share(
            "known_worst_case",
            "share that stands at this norm and ε against every confirmed adversarial image known of the model",
            "not scored at this norm and ε",
        ),
        _DRAWN,
        _FELL,
        _OVERSTATED,
        _TRIED,
    ),
)

_MEAN = "mean over the seeds: "
LEADERBOARD = View(
    "v_leaderboard",
    "variant × study, once a trial of it is scored",
    "What is compared: scores of variants, means over their seeds; the table of innate results.",
    (
        _STUDY,
        _VARIANT,
        _DATASET,
        *_LEVELS,
        _count("seeds", "scored trials of the variant", "trials", 1),
        _share("clean_accuracy", f"{_MEAN}share of clean test images classified rightly"),
        _share(
            "worst_case",
            f"{_MEAN}share that survives every attack at the study's score ε, of attacks that all its models had",
            "no attacks",
        ),
        _share(
            "retention",
            f"{_MEAN}worst_case / clean_accuracy, what attack leaves of the accuracy",
            "no attacks, or no model of it learned anything",
        ),
        _share(
            "curve_area",
            f"{_MEAN}area under worst-case accuracy against ε, above chance, divided by the largest ε",
            "no attacks",
        ),
        Column(
            "innate",
            "real",
            f"{_MEAN}harmonic mean of clean accuracy above chance and curve_area; 0 where nothing was learned",
            "points",
            0,
            100,
            null="no attacks",
        ),
        _trust("the worst verdict over the seeds; never rank what is invalid"),
        *_OPTIONS,
        _share(
            "known_worst_case",
            f"{_MEAN}as worst_case, by every confirmed adversarial image known of each model",
            "no attacks",
        ),
        replace(_OVERSTATED, meaning=f"largest over the seeds: {_OVERSTATED.meaning}", null="a seed without audit"),
        _count("pending", "seeds that wait for more attacks; their scores are those of before", "trials"),
    ),
)

ROBUSTNESS = View(
    "v_robustness",
    "trial × study × norm × ε",
    "The worst case of each model, and what its audit says of it.",
    (
        *_MODEL,
        _NORM,
        _EPS,
        _TESTED,
        _CLEAN,
        _share("robust_accuracy", "share that stands against every confirmed adversarial image known of the model"),
        _DRAWN,
        _FELL,
        _OVERSTATED,
        _trust("verdict on the number at this ε"),
        _share(
            "compared_accuracy", "share that stands against the attacks that all models of the study had: for rankings"
        ),
        _count("audited_of", "images that stood when the audit's last round began", "images", null=_AUDITED),
        _count("broken", "images that the audit broke, in all rounds", "images", null=_AUDITED),
        _count("rounds", "rounds of the audit", null=_AUDITED),
        _TRIED,
        Column("felled_by", "json", "attacks of the audit that broke some, a list", null=_AUDITED),
        _seconds("audit_seconds", "time that the audit took, over all ε", _AUDITED),
        *_OPTIONS,
    ),
)

TRAINING = View(
    "v_training",
    "epoch of a trial",
    "How training went; join v_trials on trial_id for what was trained.",
    (
        _TRIAL,
        _count("epoch", "number of the epoch, from 1", low=1),
        Column("loss", "real", "mean training loss, of what the defense minimises"),
        _share("accuracy", "accuracy on the training images as they were trained on"),
        _share("validation_accuracy", "accuracy on the training images held out", "nothing held out"),
        Column("lr", "real", "learning rate at the end of the epoch", "", 0),
        _seconds("seconds", "time that the epoch took"),
        _share(
            "probe_accuracy", "accuracy of a few images under a short attack, after the epoch", "no defense to watch"
        ),
    ),
)

TRAITS_VIEW = View(
    "v_traits",
    "trained trial × study",
    "What is measured of each model to see why it is as robust as it is.",
    (
        *_MODEL,
        _CLEAN,
        _trust("verdict on the model in that study", "not judged yet"),
        *(
            Column(
                one.name,
                "real",
                one.summary,
                "fraction" if one.percent else one.unit,
                0 if one.percent else None,
                1 if one.percent else None,
                null="nothing recorded"
                if one.name == "training_loss"
                else "not measured, or nothing classified rightly",
            )
            for one in TRAITS.values()
            if one.name != "clean_accuracy"
        ),
        *_OPTIONS,
    ),
)

TUNING = View(
    "v_tuning",
    "candidate × cell of a tuned study",
    "Which learning rates were tried, on held-out training images, and which were chosen.",
    (
        _STUDY,
        _count("cell", "place of the cell (architecture × defense × optimizer × activation) in the study, from 0"),
        _VARIANT,
        _DATASET,
        *(replace(one, null="") for one in _LEVELS),
        Column("option", "text", "option that is chosen, such as lr"),
        Column("value", "real", "value of that option that was tried", "", 0),
        _TRIAL,
        Column("state", "text", "how far the candidate is", choices=STATES, null="no longer queued"),
        _share(
            "validation_accuracy", "accuracy on the images held out after the last epoch", "not trained, or it failed"
        ),
        _count("epochs", "epochs that a candidate gets", "epochs", 1),
        _seconds("seconds", "time that training took", "not trained yet"),
        _flag("widened", "whether it was tried because the best lay on the edge of the range"),
        _flag("chosen", "whether it was chosen"),
        _flag("edge", "whether it was chosen and is the outermost that was tried", "nothing chosen yet"),
        Column("reason", "text", "why the candidate failed", null="it did not"),
        Column("cell_reason", "text", "why nothing could be chosen in the cell", null="something was, or will be"),
        *(replace(one, null="") for one in _OPTIONS),
    ),
)

TRUST_VIEW = View(
    "v_trust",
    "check × trial × study",
    "What every verdict rests on: each check that was made, with its value and bound (innate checks explains them).",
    (
        _STUDY,
        _TRIAL,
        _VARIANT,
        *_LEVELS,
        _SEED,
        Column("check", "text", 'name of the check; a reserved word of SQL, so write "check"'),
        Column("attack", "text", "registry name of the attack that it looks at", null="looks at the model"),
        _trust("what the check says by itself"),
        Column("value", "real", "what was found, in the check's own unit", null="no number"),
        Column("bound", "real", "what it was held against", null="no number"),
        Column("reason", "text", "what it means, a sentence", null="nothing to say"),
        _flag("counted", "whether it counts in the verdict on the model"),
        Column("attack_id", "text", "content address of that attack", null="looks at the model"),
        _count("position", "place among the checks of the trial, from 0"),
        Column("norm", "text", "norm that it is about: linf or l2", null="about none"),
        replace(_EPS, null="about none"),
    ),
)

TRANSFER = View(
    "v_transfer",
    "source trial × target trial × attack × study",
    "Adversarial images of one model tried on another.",
    (
        _STUDY,
        Column("source_id", "text", "trial whose gradients made the images"),
        Column("target_id", "text", "trial that they were tried on"),
        Column("attack", "text", "registry name of the attack"),
        Column("attack_id", "text", "content address of the attack with all of its parameters"),
        _NORM,
        _EPS,
        _TESTED,
        _count("shared", "images that both classify rightly", "images"),
        _count("fooled", "of those, how many fool the target", "images"),
        _share("transfer_rate", "fooled / shared", "no image that both classify rightly"),
        _share("robust_accuracy", "share of test images that the target classifies rightly in spite of them"),
        Column("crafting", "text", "precision in which images were crafted"),
        *(
            replace(one, name=f"{side}_{one.name}", meaning=f"{side}: {one.meaning}")
            for side in ("source", "target")
            for one in (*_LEVELS, _SEED)
        ),
        Column("samples_digest", "text", "digest of the test images' indices"),
    ),
)

VIEWS = (LEADERBOARD, RESULTS, ROBUSTNESS, TRIALS, TRAINING, TRAITS_VIEW, TUNING, TRUST_VIEW, TRANSFER)
"""All of them, the most asked for first."""
