"""The command log: what was done in this session, as the commands that do it again."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from app.tui.shell.done import Done, script
from app.tui.widgets.dialogs import Prompt, TextPage

if TYPE_CHECKING:
    from app.tui.shell.session import Session


def shown(done: Sequence[Done]) -> Content:
    """To read: time and sentence, the command under it."""
    if not done:
        what = "What changes something or writes a file is kept here, as the command that does it again."
        return Content.assemble("Nothing was done yet.\n\n", (what, "$foreground 70%"))
    parts: list[Content | str | tuple[str, str]] = []
    for one in done:
        parts += [(f"{one.clock}  {one.told}\n", "$foreground 70%"), (f"  {one.command}\n", "bold")]
    return Content.assemble(*parts)


class CommandLog(TextPage):
    """To read, to copy and to write to a file, as a script."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("L", "dismiss(None)", "close"),
        Binding("w", "write", "write"),
    ]

    def __init__(self, session: Session) -> None:
        done = tuple(session.done)
        self._script = script(done, session.option)
        super().__init__("What was done here", shown(done), copied=self._script if done else "", keys="w to a file")
        self._session = session
        self._empty = not done

    def action_write(self) -> None:
        if self._empty:
            self.tell("nothing to write yet")
            return

        def check(text: str) -> str | None:
            path = Path(text.strip()).expanduser()
            if not text.strip() or path.is_dir():
                return "name a file"
            if path.exists():
                return f"{path} exists already"
            if not path.absolute().parent.is_dir():
                return f"there is no folder {path.absolute().parent}"
            return self._session.context.refusal(path)

        hint = "a shell script that does it all again, in order"
        self.app.push_screen(Prompt("Write to", _free_name(), hint=hint, check=check), self._write)

    async def _write(self, name: str | None) -> None:
        if name is None:
            return
        path, own, text = Path(name.strip()).expanduser(), self._session.context.in_use, self._script

        def work() -> None:
            from storage.export import beside

            with beside(path, own, force=False) as partial:
                partial.write_text(text, encoding="utf-8")
                partial.chmod(partial.stat().st_mode | stat.S_IXUSR)

        try:
            await self._session.do(work)
        except Exception as error:
            from app.tui.shell.threads import sentence

            self._session.note_fault(error)
            self.tell(sentence(error))
        else:
            self.tell(f"wrote {path}")


def _free_name() -> str:
    """A name that no file here has."""
    names = ("innate-session.sh", *(f"innate-session-{number}.sh" for number in range(2, 1000)))
    return next((name for name in names if not Path(name).exists()), "")
