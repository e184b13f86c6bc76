"""Processor time, which other programs on the machine don't lengthen much."""

import time
from contextlib import contextmanager


@contextmanager
def cpu_seconds_below(limit):
    """The block takes less processor time than ``limit``, which should be many times what it needs."""
    start = time.process_time()
    yield
    assert time.process_time() - start < limit
