"""What there is to choose from: every registry, and the presets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import emit_json, table

if TYPE_CHECKING:
    from core.registry import Entry, Parameter

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    for name, (summary, load) in _CATALOGUES.items():
        app.command(name, help=summary, epilog=f"Example: innate {name} --json")(_command(name, load))


def _command(name: str, load: Callable[[], Iterable[Mapping[str, Any]]]) -> Callable[[bool], None]:
    def command(as_json: Json = False) -> None:
        rows = list(load())
        if as_json:
            emit_json(name, rows)
            return
        typer.echo(table(["name", "what"], [[row["name"], row["summary"]] for row in rows]))
        options = [(row["name"], parameter) for row in rows for parameter in row.get("parameters", ())]
        if options:
            typer.echo("\nOptions, with their defaults:")
            lines = [
                [name, f"{parameter['name']} = {_toml(parameter['default'])}", parameter["summary"]]
                for name, parameter in options
            ]
            typer.echo(table(["of", "option", "what"], lines))
        sources = [row for row in rows if row.get("source", "-") not in ("-", "")]
        if sources:
            typer.echo("\nSources:")
            typer.echo(table(["name", "source"], [[row["name"], row["source"]] for row in sources]))

    return command


def _rows(entries: Iterable[Entry]) -> Iterable[dict[str, Any]]:
    for entry in entries:
        row: dict[str, Any] = {"name": entry.name, "summary": entry.summary, "source": entry.source}
        for fact in ("shape", "train_size", "test_size", "norms", "smallest", "single_step", "percent", "scope"):
            if hasattr(entry, fact):
                value = getattr(entry, fact)
                row[fact] = list(value) if isinstance(value, tuple) else value
        if hasattr(entry, "keras"):
            row["keras_defaults"] = dict(entry.keras)
        row["parameters"] = [_parameter(parameter) for parameter in entry.parameters]
        yield row


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "type": parameter.kind,
        "default": parameter.default,
        "summary": parameter.summary,
        "unit": parameter.unit,
        "range": parameter.range_text(),
        "choices": list(parameter.choices),
    }


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def _presets() -> Iterable[dict[str, Any]]:
    from core.study.presets import preset_names, preset_text
    from core.study.resolve import grid_size, load_study, parse_toml

    for name in preset_names():
        document = parse_toml(preset_text(name), name)
        study = load_study(name)
        yield {
            "name": name,
            "summary": document["description"],
            "dataset": study.source.name,
            "trials": grid_size(study),
            "attacks": [attack.name for attack in study.attacks],
        }


def _datasets() -> Iterable[dict[str, Any]]:
    from core.datasets import DATASETS

    return _rows(DATASETS.values())


def _architectures() -> Iterable[dict[str, Any]]:
    from core.models.architectures import ARCHITECTURES

    return _rows(ARCHITECTURES.values())


def _optimizers() -> Iterable[dict[str, Any]]:
    from core.training.optimizers import OPTIMIZERS

    return _rows(OPTIMIZERS.values())


def _activations() -> Iterable[dict[str, Any]]:
    from core.models.activations import ACTIVATIONS

    return _rows(ACTIVATIONS.values())


def _attacks() -> Iterable[dict[str, Any]]:
    from core.attacks import ATTACKS

    return _rows(ATTACKS.values())


def _defenses() -> Iterable[dict[str, Any]]:
    from core.training.defenses import DEFENSES

    return _rows(DEFENSES.values())


def _scores() -> Iterable[dict[str, Any]]:
    from core.verdict.scoring import SCORES

    return _rows(SCORES.values())


def _checks() -> Iterable[dict[str, Any]]:
    from core.verdict.trust import CHECKS

    return _rows(CHECKS.values())


_CATALOGUES: dict[str, tuple[str, Callable[[], Iterable[Mapping[str, Any]]]]] = {
    "presets": ("Studies that ship with innate.", _presets),
    "datasets": ("Data sets, by the names that a study file uses.", _datasets),
    "architectures": ("Architectures and their options.", _architectures),
    "optimizers": ("Optimizers and their options.", _optimizers),
    "activations": ("Activations and their options.", _activations),
    "attacks": ("Attacks and their options.", _attacks),
    "defenses": ("Defenses and their options.", _defenses),
    "scores": ("Scores and what they mean.", _scores),
    "checks": ("Trust checks: what makes a number suspect or invalid.", _checks),
}
