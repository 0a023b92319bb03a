"""What a data set looks like, in words: size, values and classes of each half, and what was lost on the way to 256 levels."""

from __future__ import annotations

from core.datasets import Portrait
from core.datasets.portrait import Half
from core.records.data import DatasetInfo

_LISTED = 10
"""So many classes are counted one by one; more are summed up."""


def dataset_label(info: DatasetInfo) -> str:
    """The set by its name, which says where it is not the one that is known by it."""
    if not info.other_content:
        return info.source.name
    return f"{info.source.kind} (other content, {(info.digest or '')[:8]})"


def other_content_warning(info: DatasetInfo) -> str:
    """What content that is not its name's means."""
    return f"{dataset_label(info)}: not the {info.source.kind} that is known, so nothing that was run on that one counts here"


def portrait_rows(portrait: Portrait) -> list[tuple[str, str]]:
    """Heading and words; a heading is empty where the row goes on."""
    train, test = portrait.train, portrait.test
    channels, height, width = portrait.shape
    rows = [
        ("data", f"{_sizes(portrait)}, {width}×{height}, {_colour(channels)}, {portrait.levels} levels"),
        ("pixels", f"{_range(train)} in {train.levels} levels (training), {_range(test)} in {test.levels} (test)"),
        ("per class", f"{_classes(train)} (training)"),
        ("", f"{_classes(test)} (test)"),
    ]
    return rows if portrait.rounding is None else [*rows, ("rounded", _rounding(portrait))]


def portrait_line(portrait: Portrait) -> str:
    """The same in one line, classes summed up."""
    train, test = portrait.train, portrait.test
    channels, height, width = portrait.shape
    counts = f"{_span(train)} and {_span(test)} per class"
    line = (
        f"{_sizes(portrait)}, {width}×{height} {_colour(channels)}, pixels {_range(train)} and {_range(test)} in "
        f"{portrait.levels} levels, {counts}"
    )
    return line if portrait.rounding is None else f"{line}; {_rounding(portrait)}"


def _sizes(portrait: Portrait) -> str:
    return f"{portrait.train.images:,} training + {portrait.test.images:,} test images"


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "colour"


def _range(half: Half) -> str:
    return f"{half.least} to {half.greatest}"


def _classes(half: Half) -> str:
    if len(set(half.per_class)) == 1 or len(half.per_class) > _LISTED:
        return f"{_span(half)} in each of {len(half.per_class)}"
    return " ".join(map(str, half.per_class))


def _span(half: Half) -> str:
    least, most = min(half.per_class), max(half.per_class)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _rounding(portrait: Portrait) -> str:
    found = portrait.rounding
    assert found is not None
    return f"{found.pixels:,} of {found.total:,} pixels lay between two of the 256 levels, by up to {found.furthest:.2f} of one"
