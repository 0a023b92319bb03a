"""The README's screenshots: `python -m tests.screens.make [HOME]` opens the screens on a home in which `quick` was run (a
temporary one is filled first where none is named: some minutes) and writes SVG files beside this one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from app.context import Context
from app.tui.app import InnateApp
from storage.home import Home
from tests.app.tui.conftest import calm, press_and_wait

SIZE = (132, 34)
PICTURES = {
    "lab": ["1", "right", "j", "space", "j", "space", "home"],
    "compose": ["2"],
    "compare": ["4"],
}


async def take(home: Home) -> None:
    context = Context(home, home.database, False, colour=True, quiet=True, verbose=False)
    for name, keys in PICTURES.items():
        (home.root / "tui.json").unlink(missing_ok=True)
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
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "home"
        if not (root / "innate.db").exists():
            subprocess.run([sys.executable, "-P", "-m", "app.main", "--home", str(root), "run", "quick"], check=True)
        asyncio.run(take(Home(root.resolve())))


if __name__ == "__main__":
    main()
