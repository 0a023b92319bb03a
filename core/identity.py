"""Content addresses and random streams: both are digests, so that neither depends on time, order or machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """`value` as the one JSON text that equal values share: sorted keys, no spaces, no NaN.

    Raises ValueError for NaN and infinities: they equal nothing, so they cannot be an address.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def stream_seed(seed: int, stream: str, *counters: int) -> int:
    """A seed in [0, 2**63) for one named stream of randomness.

    Initialisation, data order and dropout draw from separate streams of the same trial seed, so that changing
    how much one of them consumes never shifts another. `counters` (epoch, step) make each
    draw a function of its position, so that nothing has to be saved to resume.
    """
    text = canonical_json([seed, stream, *counters])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
