"""Data sets on their way: the driver packs the files that one is read from, each machine lays them down once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import datasets
from core.datasets import DATASETS
from core.errors import BadInput
from core.executors.cluster.messages import Parcel, Piece
from core.executors.cluster.spool import alone
from core.jobs.orders import Job

_PIECE_BYTES = 64 << 20
"""So much of a data set is in memory at once, here and there."""
_DATA, _CACHE, _OWN = "data", "cache", "own"
"""Below a parcel's folder: what lies under the data root, the decoded pictures of a folder, the file of an npz: set."""

Put = Callable[[bytes], Any]
"""Makes of bytes what Ray knows them by, once for all machines."""
Fetch = Callable[[Any], bytes]


class Parcels:
    """The parcels of a driver: each data set is read and put once."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._made: dict[Any, Parcel | None] = {}

    def of(self, job: Job) -> Parcel | None:
        """The parcel of a job's data set; None for one that every installation has itself. Raises BadInput, OSError."""
        key = (job.source, job.data_root, job.cache, job.trial.dataset)
        if key not in self._made:
            files = list(_files(job))
            self._made[key] = _packed(files, self._put) if files else None
        return self._made[key]


def _files(job: Job) -> Iterator[tuple[str, Path]]:
    """(path below the parcel's folder, file) of all that the data set is read from."""
    source = job.source
    if source.kind == "folder":
        # A folder of pictures travels decoded: as it was planned, whatever has become of it.
        place = job.cache / job.trial.dataset.replace(":", "-")
        if not place.is_dir():
            datasets.load_planned(source, job.data_root, job.cache, job.trial.dataset, job.met)
        yield from ((f"{_CACHE}/{place.name}/{file.name}", file) for file in sorted(place.glob("*.npy")))
        return
    if source.path is not None:
        yield f"{_OWN}/{source.path.name}", source.path
        return
    fault = datasets.problem(source, job.data_root, job.cache)
    if fault is not None:
        raise BadInput(fault)
    entry = DATASETS[source.kind]
    for file in entry.files(job.data_root / entry.folder):
        if file.is_relative_to(job.data_root):  # else it ships inside an installed package
            yield f"{_DATA}/{file.relative_to(job.data_root).as_posix()}", file


def _packed(files: list[tuple[str, Path]], put: Put) -> Parcel:
    whole, pieces = hashlib.sha256(), []
    for path, file in files:
        whole.update(f"{path}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            at = 0
            while content := opened.read(_PIECE_BYTES):
                whole.update(content)
                pieces.append(Piece(path, at, put(content)))
                at += len(content)
            if at == 0:
                raise BadInput(f"{file}: is empty")
    return Parcel(whole.hexdigest(), tuple(pieces))


def laid_down(parcel: Parcel | None, root: Path, fetch: Fetch) -> Path:
    """The folder below `root` with a parcel's files, fetched unless this machine has them. Raises OSError."""
    if parcel is None:
        place = root / "none"
        place.mkdir(parents=True, exist_ok=True)
        return place
    place = root / parcel.digest
    if place.is_dir():
        return place
    root.mkdir(parents=True, exist_ok=True)
    with alone(root / f".{parcel.digest}.lock"):
        if place.is_dir():
            return place
        building = root / f".{parcel.digest}.building"
        shutil.rmtree(building, ignore_errors=True)
        for piece in parcel.pieces:
            file = building / piece.path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab" if piece.at else "wb") as opened:
                opened.write(fetch(piece.content))
        for file in building.rglob("*"):
            if file.is_file():
                _to_disk(file)
        building.rename(place)
    return place


def _to_disk(file: Path) -> None:
    opened = os.open(file, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def reading_from(job: Job, place: Path) -> Job:
    """The job with its data set where `laid_down` has put it. Decoded copies are kept beside."""
    source = job.source
    if source.path is not None and source.kind != "folder":
        source = replace(source, path=place / _OWN / source.path.name)
    return replace(job, source=source, data_root=place / _DATA, cache=place / _CACHE)
