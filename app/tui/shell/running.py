"""Commands typed under `:`: what only answers is run beside the screens and shown, what changes something is asked about first,
what takes long is copied for a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os

from rich.text import Text
from textual.content import Content

from app.tui.shell.commands import Typed
from app.tui.shell.page import Changed, Page, tell_in_front
from app.tui.widgets.dialogs import Confirm, TextPage
from core import launch

MOST_SECONDS = 120.0
"""After that it is ended: a screen is no place for it."""
_BORDER = 6
"""Cells of a line that a text page does not give."""


def run_typed(page: Page, typed: Typed) -> None:
    """Do what is right with a command, on `page`."""
    line = page.session.spelled(typed.line)
    match typed.does:
        case "answers":
            _run(page, typed)
        case "changes":
            page.push(Confirm(f"Run this?\n\n{line}"), lambda yes: _run(page, typed) if yes else None)
        case "works":
            page.app.copy_to_clipboard(line)
            page.say(f"copied, for a shell: {line}")


def _run(page: Page, typed: Typed) -> None:
    page.say(f"{typed.line} …")
    # The app's, not the page's: a page that is left before the end still hears of it.
    page.app.run_worker(_show(page, typed), exit_on_error=False)


async def _show(page: Page, typed: Typed) -> None:
    """Run it and show what it prints: an answer or what went wrong on a page, of a change its last line."""
    session, app = page.session, page.app
    room = max(40, min(100, round(0.96 * app.size.width)) - _BORDER)
    process = await asyncio.create_subprocess_exec(
        *launch.command("app.main", *session.context.options, *typed.words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": str(room), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    try:
        async with asyncio.timeout(MOST_SECONDS):
            content, _ = await process.communicate()
    except TimeoutError:
        slow = f"{typed.line} took longer than {MOST_SECONDS:.0f} s and was ended; run it in a shell"
        tell_in_front(app, slow, wrong=True)
        return
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    text = content.decode("utf-8", "replace").rstrip()
    if process.returncode != 0:
        tell_in_front(app, f"{typed.line}: exit code {process.returncode}", wrong=True)
    elif typed.does == "changes":
        page.did(text.rpartition("\n")[2] or "done", typed.line)
    else:
        page.did("asked", typed.line)
    if typed.does == "answers" or process.returncode != 0:
        app.push_screen(TextPage(typed.line, Content.from_rich_text(Text.from_ansi(text or "It printed nothing."))))
    app.post_message(Changed())
