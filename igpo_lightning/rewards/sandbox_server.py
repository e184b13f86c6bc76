"""The process that runs programs of a model; started by path, it imports nothing of this package.

It forks one process for each job, before any code of the model is in it, and hands over a socket that it
has been sent: job and result never pass through this process, so a program finds nothing of other jobs in its
memory. Within the fork, before the program starts, the kernel is told to refuse every system call but those
that computing takes (seccomp): there are no files, no network, no processes, no threads, no signals to
others.
What a program may still do is to fail, or to send any value it likes; whether that is the right one is
judged elsewhere.
"""

import sys
from pathlib import Path

if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    del sys.path[0]  # the script's own folder: its modules must not shadow installed ones

import builtins
import contextlib
import ctypes
import importlib
import io
import json
import math
import os
import random
import resource
import signal
import socket
import struct
import time
from typing import Any

RESULT = 3  # file descriptor of the job's socket within a fork

# Machine → its number in the kernel's headers, and the calls that are let through: write, close, fstat,
# lseek, mmap, mprotect, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn, mremap, madvise, exit,
# exit_group, futex, clock_gettime, gettimeofday, getrandom, sigaltstack, sched_yield, getpid, gettid,
# getrusage.
CALLS = {
    "x86_64": (
        0xC000003E,
        (1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 25, 28, 60, 231, 202, 228, 96, 318, 131, 24, 39, 186, 98),
    ),
    "aarch64": (
        0xC00000B7,
        (64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 216, 233, 93, 94, 98, 113, 169, 278, 132, 124,
         172, 178, 165),
    ),
}  # fmt: skip


def encode(value: Any) -> Any:
    """``value`` as JSON that keeps lists, tuples, sets and dicts apart; TypeError for anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return ["dict", *([encode(key), encode(inner)] for key, inner in value.items())]
    for kind, name in ((list, "list"), (tuple, "tuple"), ((set, frozenset), "set")):
        if isinstance(value, kind):
            return [name, *map(encode, value)]
    raise TypeError(f"a {type(value).__name__} is no value to compare")


def decode(value: Any) -> Any:
    """The value that :func:`encode` made JSON of."""
    if not isinstance(value, list):
        return value
    name, *items = value
    if name == "dict":
        return {decode(key): decode(inner) for key, inner in items}
    return {"list": list, "tuple": tuple, "set": set}[name](map(decode, items))


def main(control: socket.socket, settings: dict[str, Any]) -> None:
    for name in settings["modules"]:
        importlib.import_module(name)
    builtins.exit = builtins.quit = sys.exit  # which python -S leaves out
    libc = ctypes.CDLL(None, use_errno=True)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    settings["address_space"] = used + settings["memory"]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    control.send(b"+")
    while True:
        message, sockets, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return  # whoever started this has closed it, or has ended
        if (child := os.fork()) == 0:
            try:
                _run(sockets[0], settings, libc)
            finally:
                os._exit(1)
        os.close(sockets[0])
        _wait(child, settings["wall"])
        control.send(b".")


def _wait(child: int, seconds: float) -> None:
    """Reap ``child``, with all of its group, after so long at most."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left = deadline - time.monotonic()
        if left <= 0 or signal.sigtimedwait({signal.SIGCHLD}, left) is None:
            break
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(OSError):  # it has ended, or not come as far as to have a group
            kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _run(job_socket: int, settings: dict[str, Any], libc: Any) -> None:
    """Run one job in this process, and end it."""
    os.setsid()
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: not to outlive the process above
    os.dup2(job_socket, RESULT)
    os.closerange(RESULT + 1, 4096)  # the control socket, too
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with open(RESULT, "rb", closefd=False) as stream:
        job = json.loads(stream.read())
    seconds = math.ceil(settings["cpu"])
    limits = {
        "CPU": seconds,
        "AS": settings["address_space"],
        "FSIZE": 0,
        "CORE": 0,
        "NPROC": 0,
        "NOFILE": 16,
    }
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    random.seed(0)
    if not settings["unsafe"]:
        lock(libc)
    answer = json.dumps(_result(job)).encode()
    while answer:
        answer = answer[os.write(RESULT, answer) :]
    os._exit(0)


def _result(job: dict[str, Any]) -> Any:
    """The encoded value of the job's call, or all that its program prints."""
    is_program = "stdin" in job
    scope: dict[str, Any] = {"__name__": "__main__" if is_program else "solution"}
    sys.stdin = io.TextIOWrapper(io.BytesIO(job.get("stdin", "").encode()), encoding="utf-8")
    printed = io.BytesIO()
    sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
    try:
        exec(compile(job["code"], "solution.py", "exec"), scope)
    except SystemExit:
        if not is_program:  # a program may end so, a function has then returned nothing
            raise
    if is_program:
        return printed.getvalue().decode()
    return encode(scope[job["call"]](*decode(job["args"]), **decode(job["kwargs"])))


def lock(libc: Any) -> None:
    """Have the kernel refuse (EPERM) all system calls of this process but :data:`CALLS`, for good.

    Raises:
        OSError: This kernel or machine can't.
    """
    machine = os.uname().machine
    if machine not in CALLS:
        raise OSError(f"no list of system calls for {machine}")
    number, allowed = CALLS[machine]
    load, equal, done = 0x20, 0x15, 0x06  # instructions of a BPF program, and what it may return:
    kill, refuse, allow = 0x80000000, 0x00050000 | 1, 0x7FFF0000
    steps = [(load, 0, 0, 4), (equal, 1, 0, number), (done, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(equal, len(allowed) - i, 0, call) for i, call in enumerate(allowed)]
    steps += [(done, 0, 0, refuse), (done, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    no_new_privileges, seccomp, filtering = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(seccomp, filtering, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]))
