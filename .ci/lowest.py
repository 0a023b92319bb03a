"""Writes a constraints file with the oldest version of each dependency that pyproject.toml allows: `lowest.py > FILE`."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
for dependency in project["dependencies"]:
    print(dependency.replace(">=", "=="))
