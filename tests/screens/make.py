"""The README's screenshots: `python -m tests.screens.make [HOME]` opens the screens on the study that is published in tests/study
(or on a home, where one is named) and writes SVG files beside this one."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from app.context import Context
from app.tui.app import InnateApp
from storage.home import Home
from tests.app.tui.conftest import calm, press_and_wait

SIZE = (132, 34)
PUBLISHED = Path(__file__).parent.parent / "study" / "study.db"
STUDY = "paper-tuned"
PICTURES = {
    "lab": ["1", "o", *STUDY, "enter", "home", "right", "j"],
    "findings": ["4", "o", *STUDY, "enter"],
    "compose": ["2", "p", *STUDY, "enter"],
}


async def take(home: Home, database: Path) -> None:
    """Each of PICTURES, from screens that remember nothing of the one before."""
    context = Context(home, database, True, colour=True, quiet=True, verbose=False)
    for name, keys in PICTURES.items():
        app = InnateApp(context)
        async with app.run_test(size=SIZE) as pilot:
            await calm(pilot)
            await press_and_wait(pilot, *keys)
            await pilot.pause(0.5)
            await calm(pilot)
            picture = Path(__file__).with_name(f"{name}.svg")
            picture.write_text(app.export_screenshot(title="innate"), encoding="utf-8")
            print(f"wrote {picture.name}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        named = Home(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else None
        asyncio.run(take(Home(Path(folder)), PUBLISHED if named is None else named.database))


if __name__ == "__main__":
    main()
