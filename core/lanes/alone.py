"""What torch keeps once for a whole process, and lanes, which are threads of one process, must take turns at."""

from __future__ import annotations

import threading

ALONE = threading.RLock()
"""Held by a thread while it changes torch's default random generators, or whether factors are rounded to TF32, and while
what it runs hangs on them. A replayed graph has its generator and its precision in it, and needs no turn."""

MOST_LANES = 32
"""Of one device in a process: torch has no more streams, and hands out the first again after that."""
