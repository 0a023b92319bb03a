"""What there is to choose from: every registry, and the presets."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import emit_json, table, width

if TYPE_CHECKING:
    from core.plugged import Installed
    from core.records.study import Search
    from core.registry import Entry, Parameter, Registry
    from storage.reading import Json as Value
    from storage.reading import Options

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    for name, (summary, load) in _CATALOGUES.items():
        app.command(name, help=summary, epilog=f"Example: innate {name} --json")(_command(name, load))


@dataclass(frozen=True)
class _Item:
    """One thing to choose; with `names`, any of them. A preset has no source and no parameters (None)."""

    name: str
    summary: str
    facts: Options
    source: str | None = None
    parameters: tuple[Parameter, ...] | None = None
    tuned: Search | None = None
    """What a tuned study chooses of an optimizer."""
    names: tuple[str, ...] = ()
    plugin: Installed | None = None
    """The plugin that adds it."""

    @property
    def what(self) -> str:
        """The summary, with the unit of what has one."""
        return f"{self.summary} ({self.facts['unit']})" if self.facts.get("unit") else self.summary

    def as_json(self) -> Options:
        return {
            "name": self.name,
            "summary": self.summary,
            **({} if self.source is None else {"source": self.source}),
            **({} if self.plugin is None else {"plugin": _plugin(self.plugin)}),
            **self.facts,
            **({} if self.tuned is None else {"tuned": {self.tuned.option: [self.tuned.low, self.tuned.high]}}),
            **({"names": list(self.names)} if self.names else {}),
            **({} if self.parameters is None else {"parameters": [_parameter(one) for one in self.parameters]}),
        }


def _command(name: str, load: Callable[[], Iterable[_Item]]) -> Callable[[bool], None]:
    def command(as_json: Json = False) -> None:
        items = list(load())
        if as_json:
            emit_json(name, [item.as_json() for item in items])
            return
        room = width() - 2 - max(len(item.name) for item in items)
        lines = [
            [item.name if number == 0 else "", part]
            for item in items
            for number, part in enumerate(textwrap.wrap(item.what, room) or [""])
        ]
        typer.echo(table(["name", "what"], lines))
        for item in items:
            if item.names:
                typer.echo(f"\n{item.name} is one of:")
                typer.echo(textwrap.fill(", ".join(item.names), width(), break_on_hyphens=False))
        options = [
            [item.name, f"{one.name} = {_toml(one.default)}", one.summary + _tuned(item.tuned, one)]
            for item in items
            for one in item.parameters or ()
        ]
        if options:
            typer.echo("\nOptions, with their defaults:")
            typer.echo(table(["of", "option", "what"], options))
        sources = [[item.name, source] for item in items if (source := _source(item))]
        if sources:
            typer.echo("\nSources:")
            typer.echo(table(["name", "source"], sources))

    return command


def _tuned(search: Search | None, parameter: Parameter) -> str:
    """Where an option is looked for that a tuned study chooses."""
    if search is None or search.option != parameter.name:
        return ""
    return f"; tuned: {search.low:g} to {search.high:g}"


def _source(item: _Item) -> str:
    """Where it is from, and who adds it."""
    own = [] if item.source in (None, "-", "") else [str(item.source)]
    return "; ".join([*own, *([] if item.plugin is None else [item.plugin.title])])


def _plugin(plugin: Installed) -> Options:
    return {"name": plugin.name, "version": plugin.version, "package": plugin.package}


def _items(registry: Registry[Any]) -> Iterable[_Item]:
    for entry in registry.values():
        facts: dict[str, Value] = {}
        for fact in (
            "shape",
            "train_size",
            "test_size",
            "norms",
            "smallest",
            "single_step",
            "percent",
            "scope",
            "unit",
        ):
            if hasattr(entry, fact):
                value = getattr(entry, fact)
                facts[fact] = list(value) if isinstance(value, tuple) else value
        if hasattr(entry, "keras"):
            facts["keras_defaults"] = dict(entry.keras)
        tuned = getattr(entry, "tuned", None)
        plugin = registry.adopted.owners.get(entry.name)
        yield _Item(entry.name, entry.summary, facts, entry.source, tuple(entry.parameters), tuned, plugin=plugin)


def _family(name: str, entries: Iterable[Entry]) -> Iterable[_Item]:
    """Entries that differ in name alone, told once."""
    first, *others = entries
    names = tuple(one.name.rpartition(":")[2] for one in (first, *others))
    what = f"{len(names)} models by name: {first.summary}"
    yield _Item(name, what, {}, first.source, tuple(first.parameters), names=names)


def _parameter(parameter: Parameter) -> Options:
    return {
        "name": parameter.name,
        "type": parameter.kind,
        "default": parameter.default,
        "summary": parameter.summary,
        "unit": parameter.unit,
        "range": parameter.range_text(),
        "choices": list(parameter.choices),
    }


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def _presets() -> Iterable[_Item]:
    from core.study.presets import preset_names
    from core.study.resolve import grid_size, load_study

    for name in preset_names():
        study = load_study(name)
        facts: Options = {
            "dataset": study.source.name,
            "trials": grid_size(study),
            "attacks": [attack.name for attack in study.attacks],
        }
        yield _Item(name, study.description, facts)


def _datasets() -> Iterable[_Item]:
    from core.datasets import DATASETS

    return _items(DATASETS)


def _architectures() -> Iterable[_Item]:
    from core.models.architectures import ARCHITECTURES

    yield from _items(ARCHITECTURES)
    yield from _family("torchvision:NAME", ARCHITECTURES.unlisted.values())


def _optimizers() -> Iterable[_Item]:
    from core.training.optimizers import OPTIMIZERS

    return _items(OPTIMIZERS)


def _activations() -> Iterable[_Item]:
    from core.models.activations import ACTIVATIONS

    return _items(ACTIVATIONS)


def _attacks() -> Iterable[_Item]:
    from core.attacks import ATTACKS

    return _items(ATTACKS)


def _defenses() -> Iterable[_Item]:
    from core.training.defenses import DEFENSES

    return _items(DEFENSES)


def _scores() -> Iterable[_Item]:
    from core.verdict.scoring import SCORES

    return _items(SCORES)


def _traits() -> Iterable[_Item]:
    from core.traits import TRAITS

    return _items(TRAITS)


def _checks() -> Iterable[_Item]:
    from core.verdict.trust import CHECKS

    return _items(CHECKS)


_CATALOGUES: dict[str, tuple[str, Callable[[], Iterable[_Item]]]] = {
    "presets": ("Studies that ship with innate.", _presets),
    "datasets": ("Data sets, by the names that a study file uses.", _datasets),
    "architectures": ("Architectures and their options.", _architectures),
    "optimizers": ("Optimizers and their options.", _optimizers),
    "activations": ("Activations and their options.", _activations),
    "attacks": ("Attacks and their options.", _attacks),
    "defenses": ("Defenses and their options.", _defenses),
    "scores": ("Scores and what they mean.", _scores),
    "traits": ("What is measured of every trained model, to see why it is as robust as it is.", _traits),
    "checks": ("Trust checks: what makes a number suspect or invalid.", _checks),
}
