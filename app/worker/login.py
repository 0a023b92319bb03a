"""Whether a detached worker outlives the login: systemd may be told to kill whatever a user leaves behind."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Callable, Sequence

Ask = Callable[[Sequence[str]], str]


def logout_warning(ask: Ask | None = None) -> str | None:
    """One line if logging out would kill the worker, with what to do; None where it would not, or nobody can tell.

    systemd kills the processes of an ended session if KillUserProcesses is on (logind.conf). What runs under the user's
    own service manager survives, and that goes on without a login only if lingering is on.
    """
    ask = ask or _loginctl
    if _value(ask(["show-session", "--property=KillUserProcesses"])) != "yes":
        return None
    user = getpass.getuser()
    remedy = "systemd-run --user --scope innate worker start"
    if _value(ask(["show-user", user, "--property=Linger"])) != "yes":
        remedy = f"loginctl enable-linger && {remedy}"
    return f"this system kills what you leave behind at logout; to keep the worker: innate worker stop && {remedy}"


def _value(line: str) -> str:
    return line.strip().partition("=")[2]


def _loginctl(arguments: Sequence[str]) -> str:
    if shutil.which("loginctl") is None:
        return ""
    try:
        done = subprocess.run(["loginctl", *arguments], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
