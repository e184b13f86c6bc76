"""The process in which math-verify runs; started by path, it imports nothing of this package.

Lines in: JSON ``[candidate, gold]``. Lines out: ``ready`` once, then ``1`` or ``0`` per pair. The
process ends with its input, so it cannot outlive its parent. Memory is bounded by RLIMIT_AS, and a
pair that burns too much processor time ends the process: both hold inside C code, where no Python
signal handler runs.
"""

import sys
from pathlib import Path

if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    del sys.path[0]  # the script's own folder: its modules must not shadow installed ones

import json
import resource
import signal
from typing import Any


def equal(candidate: str, gold: str) -> bool:
    """math-verify's opinion of two bare answers; every failure counts as different."""
    from math_verify import parse, verify

    try:
        # "$...$", not "\\boxed{...}": with antlr 4.9.3 the latter loses answers such as 25\%.
        # No alarms of its own: they count wall-clock time, and do not ring within C code.
        no_limit: Any = None  # declared as int
        wanted = parse(f"${gold}$", parsing_timeout=no_limit)
        given = parse(f"${candidate}$", parsing_timeout=no_limit)
        return bool(wanted and given and verify(wanted, given, timeout_seconds=None))
    except (Exception, MemoryError, RecursionError):
        return False


def main(memory_bytes: int, cpu_seconds: float) -> None:
    equal("1", "2")  # pay for the imports and the grammar before "ready"
    _limit_memory(memory_bytes)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default action ends the process
    print("ready", flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        verdict = equal(*json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(int(verdict), flush=True)


def _limit_memory(extra_bytes: int) -> None:
    """Allow ``extra_bytes`` of address space on top of what the libraries already occupy."""
    status = Path("/proc/self/statm")
    used = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 0
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + extra_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    import math_verify  # noqa: F401  # fail here, loudly, if it is missing

    main(int(sys.argv[1]), float(sys.argv[2]))
