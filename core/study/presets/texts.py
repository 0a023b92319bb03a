"""The studies that ship with Innate: the same TOML files that a user writes, beside this module."""

from __future__ import annotations

from importlib.resources import files


def preset_names() -> list[str]:
    """Names in alphabetical order."""
    return sorted(
        item.name.removesuffix(".toml") for item in files(__package__).iterdir() if item.name.endswith(".toml")
    )


def preset_text(name: str) -> str:
    """The TOML of one preset, comments included; raises FileNotFoundError for an unknown name."""
    return (files(__package__) / f"{name}.toml").read_text(encoding="utf-8")


def study_template() -> str:
    """A commented study file with every key and its default; as it stands it is a small, valid study."""
    return (files(__package__) / "study.toml.template").read_text(encoding="utf-8")
