"""A home: the folder that holds one database, its checkpoints, logs and data sets, and that one worker owns."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput
from core.paths import given

_NETWORK_FILE_SYSTEMS = {
    "nfs", "nfs4", "cifs", "smbfs", "smb2", "smb3", "afs", "lustre", "gpfs", "ceph", "glusterfs", "beegfs", "sshfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "davfs", "ncpfs", "afpfs", "webdav",
}  # fmt: skip


@dataclass(frozen=True)
class Home:
    """Paths inside the home `root`."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "innate.db"

    @property
    def lock(self) -> Path:
        return self.root / "worker.lock"

    @property
    def successor_lock(self) -> Path:
        """Held by the one worker that waits to take over from an `innate run`."""
        return self.root / "successor.lock"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/<trial>/<attempt>/`."""
        return self.root / "checkpoints"

    @property
    def incoming(self) -> Path:
        """Weights that are being imported, until they have a trial."""
        return self.root / "incoming"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def worker_log(self) -> Path:
        """What a detached worker writes of its work; older parts are beside it as .1, .2 …"""
        return self.logs / "worker.log"

    @property
    def cache(self) -> Path:
        """Decoded data sets; may be deleted at any time."""
        return self.root / "cache"

    @property
    def data_root(self) -> Path:
        """Where data sets lie; INNATE_DATA moves it, and it may be read-only."""
        moved = os.environ.get("INNATE_DATA")
        return given(moved, "INNATE_DATA") if moved else self.root / "data"


def locate(option: str | Path | None) -> Home:
    """The home that `--home`, else INNATE_HOME (empty: as if it were not set), else the system's user data folder names; touches
    nothing. Raises BadInput for what can be no folder, or is a link to one that is not there (a disk that is not mounted)."""
    key, named = "--home", option
    if named is None and os.environ.get("INNATE_HOME"):
        key, named = "INNATE_HOME", os.environ["INNATE_HOME"]
    if named is None:
        from platformdirs import user_data_path

        key, named = "the user data folder", user_data_path("innate", appauthor=False)
    root = given(named, key)
    there = next(place for place in (root, *root.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise BadInput.at(key, f"'{named}' can be no home: {there} is no folder")
    if there != root and Path(named).expanduser().is_symlink():
        raise BadInput.at(key, f"'{named}' is a link to {root}, which is not there")
    return Home(root)


def prepare(home: Home, file_system: Callable[[Path], str] | None = None) -> None:
    """Make the home's folders. Raises BadInput for a place that cannot be written, or that is on a network.

    SQLite's write-ahead log needs shared memory, which network file systems do not give: it would corrupt in silence.
    """
    refuse_network(home.root, file_system or file_system_of)
    try:
        for folder in (home.root, home.checkpoints, home.logs, home.cache):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{home.root}: the home cannot be made ({error.strerror}); use --home DIR or INNATE_HOME"
        ) from None
    if not os.access(home.root, os.W_OK | os.X_OK):
        raise BadInput(f"{home.root}: the home cannot be written; use --home DIR or INNATE_HOME")


def refuse_network(path: Path, file_system: Callable[[Path], str]) -> None:
    """Raises BadInput if `path` is (or would be) on a network file system."""
    kind = file_system(path)
    if kind.lower() in _NETWORK_FILE_SYSTEMS:
        raise BadInput(
            f"{path}: is on a network file system ({kind}), where SQLite can lose data; use --home on a local disk"
        )


def file_system_of(path: Path) -> str:
    """The kind of the file system that holds `path` or its nearest existing parent; "" where the system does not say."""
    import psutil

    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    real = os.path.realpath(place)
    mounts = [
        (part.mountpoint, part.fstype)
        for part in psutil.disk_partitions(all=True)
        if real == part.mountpoint or real.startswith(part.mountpoint.rstrip("/") + "/")
    ]
    return max(mounts, key=lambda mount: len(mount[0]), default=("", ""))[1]
