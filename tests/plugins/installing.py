"""Plugins as an installer leaves them, without one: a package, and beside it a dist-info folder that names its entry point."""

from __future__ import annotations

import shutil
from pathlib import Path

TUTORIAL = Path(__file__).parent / "tutorial" / "innate_tutorial"


def install(site: Path, name: str, source: str | Path, *, place: str = "plugin", version: str = "1.0") -> Path:
    """Package innate_NAME in the folder `site`, of this source (one module's text, or a package's folder), with the plugin NAME
    at innate_NAME:`place`. Gives `site`."""
    package = site / f"innate_{name}"
    if isinstance(source, Path):
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
    info = site / f"innate_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: innate-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[innate.plugins]\n{name} = innate_{name}:{place}\n")
    return site
