"""Jobs that go wrong in the child that runs them, and only there. Light to import: a child unpickles them."""

import dataclasses
import os
import signal
import threading
import time

from core.jobs.orders import Job


class _Odd(Job):
    """`folder` is the first thing that a trial asks its job for."""

    def __getattribute__(self, name):
        if name == "folder" and object.__getattribute__(self, "made_in") != os.getpid():
            object.__getattribute__(self, "go_wrong")()
        return object.__getattribute__(self, name)


class Deadly(_Odd):
    """Ends its process with a segmentation fault, once others are at work."""

    def go_wrong(self):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGSEGV)


class Spoiling(_Odd):
    """Meets an error after which nothing in its process can use the device."""

    def go_wrong(self):
        time.sleep(0.5)
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more words")


class Wasteful(_Odd):
    """Fails where memory that it freed comes back from the kernel, page by page, when it asks again."""

    def go_wrong(self):
        import resource

        import torch

        def pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(16 << 20)  # 64 MiB
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        taken = [pages() for _ in range(30)]
        if sum(taken[-15:]) > taken[0]:
            raise RuntimeError(f"it took {taken} new pages")


class Greedy(_Odd):
    """Two of these fit on the device, one or two more do not."""

    def go_wrong(self):
        import torch

        at_work = [thread for thread in threading.enumerate() if thread.name.startswith(LANE)]
        time.sleep(0.3)
        if len(at_work) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")


class Late(_Odd):
    """Hears that the memory is full only when the trial beside it, which had it, has gone."""

    def go_wrong(self):
        import torch

        def others():
            here = threading.current_thread()
            return [one for one in threading.enumerate() if one.name.startswith(LANE) and one is not here]

        for there in (True, False):
            deadline = time.monotonic() + 120
            while bool(others()) != there and time.monotonic() < deadline:
                time.sleep(0.01)
        time.sleep(0.5)
        raise torch.OutOfMemoryError("CUDA out of memory")


LANE = "lane of "
"""Begins the keys of jobs that look for each other, which their threads are named by."""


def odd(kind, job):
    made = kind(**{each.name: getattr(job, each.name) for each in dataclasses.fields(Job)})
    object.__setattr__(made, "made_in", os.getpid())
    return made
