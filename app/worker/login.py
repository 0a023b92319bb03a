"""Whether a detached worker outlives the login: systemd may be told to end whatever a user leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

Ask = Callable[[Sequence[str]], str]


def logout_warning(ask: Ask | None = None, control_group: str | None = None) -> str | None:
    """One line if logging out would end a worker started from here, with what to do; None where it would not.

    Two things can: the service manager of the user (user@UID.service), which ends with the last login unless lingering
    is on, and takes with it what runs under it; and KillUserProcesses (logind.conf), which ends what an SSH session left
    behind outside of it. `ask` runs loginctl, `control_group` is this process's own. None too where nobody can tell.
    """
    ask = ask or _loginctl
    lingers = _value(ask(["show-user", str(os.getuid()), "--property=Linger"])) == "yes"
    if "/user@" in (_control_group() if control_group is None else control_group):
        if lingers or not _value(ask(["show-session", "--property=KillUserProcesses"])):
            return None
        return "lingering is off, so the worker ends with your last login; to keep it: loginctl enable-linger"
    if _value(ask(["show-session", "--property=KillUserProcesses"])) != "yes":
        return None
    remedy = "systemd-run --user --scope innate worker start"
    if not lingers:
        remedy = f"loginctl enable-linger && {remedy}"
    return f"this system ends what you leave behind at logout; to keep the worker: innate worker stop && {remedy}"


def _value(line: str) -> str:
    return line.strip().partition("=")[2]


def _control_group() -> str:
    try:
        return Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _loginctl(arguments: Sequence[str]) -> str:
    if shutil.which("loginctl") is None:
        return ""
    try:
        done = subprocess.run(
            ["loginctl", *arguments], capture_output=True, text=True, errors="replace", timeout=2, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
