"""Data sets: where one lies, how it is read, and what was found there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderOptions:
    """How a folder of pictures becomes images. Without any it is taken as it lies: train/ and test/, one size."""

    size: tuple[int, int] | None = None
    """(height, width) in pixels that every picture is brought to."""
    fit: str = "crop"
    """How, where the proportions differ: "crop" what juts out, "pad" with `background`, or "stretch"."""
    split: float | None = None
    """Share in (0, 1) of each class that becomes the test half of a tree that has none."""
    classes: tuple[str, ...] | None = None
    """The folders to use as classes, sorted; None is all."""
    background: str = "white"
    """Behind see-through pixels and around padded pictures: "white" or "black"."""
    depth: int | None = None
    """Bits that pictures of 16 really use, 8 to 16: what counts as white is 2 ** depth - 1. None is 16, unless that would make
    them nearly black, which is refused."""


@dataclass(frozen=True)
class DatasetSource:
    """Where a data set comes from.

    `name` is what results show ("mnist5k", "folder:cars"), `kind` the registry name ("mnist5k", "folder", "npz"),
    `path` the absolute place of a `folder:` or `npz:` set (None for named sets, which live under the data root).
    `options` say how a folder is read; other kinds have none.
    """

    name: str
    kind: str
    path: Path | None = None
    options: FolderOptions = FolderOptions()


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading its images.

    `identity` enters the trial's digest: the name of a named set that is the real one or absent, name@digest for other
    content under its name, and for `folder:` and `npz:` the digest of the content. `shape` is (channels, height, width).
    Sizes count images. `digest` is of the content that is there, None for a named set that is not.
    `notes` are what a user should know of how the content was read: what was left out, what was brought to another form; a
    sentence each.
    """

    source: DatasetSource
    identity: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train_size: int
    test_size: int
    digest: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def other_content(self) -> bool:
        """Whether what lies under a set's name is not that set."""
        return self.source.path is None and self.identity != self.source.kind
