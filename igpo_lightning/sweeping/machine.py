"""Number of jobs that fit on this machine, and the GPUs of each; found without torch."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

_NVIDIA_SECONDS = 20
_held: list[IO[str]] = []  # locks of this process's GPUs: open, and so held, until it ends


def cores() -> int:
    """CPU cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _container_limit() or allowed))


@cache
def gpus() -> tuple[str, ...]:
    """GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_NVIDIA_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(index) for index in range(len(found)))


def device_count(devices: Any) -> int | None:
    """Number of devices that Lightning's ``devices`` asks for; None means all there are."""
    if isinstance(devices, str):
        names = [name for name in devices.replace(" ", "").split(",") if name]
        if len(names) > 1 or devices.endswith(","):
            return len(names)
        devices = int(devices) if devices.lstrip("-").isdigit() else -1
    if isinstance(devices, Sequence):
        return len(devices)
    return devices if devices > 0 else None


def on_gpus(accelerator: str) -> bool:
    """True if Lightning's ``accelerator`` means GPUs here."""
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and bool(gpus()))


def processes(accelerator: str, devices: Any) -> int:
    """Processes of one job on this machine: one a device."""
    everything = max(1, len(gpus())) if on_gpus(accelerator) else 1
    return device_count(devices) or everything


def jobs_at_once(accelerator: str, devices: Any) -> int:
    """Jobs that fit side by side: each has its own GPUs, or a core for each of its processes."""
    room = len(gpus()) if on_gpus(accelerator) else cores()
    return max(1, room // processes(accelerator, devices))


def claim_gpus(folder: Path, count: int) -> None:
    """Keep ``count`` GPUs for this process, so that jobs beside it take others. Once per process.

    Args:
        folder: Where the jobs that share this machine keep their locks.
        count: GPUs of one job. With more jobs than fit, all GPUs get equally many.
    """
    import fcntl  # not on Windows

    slots = len(gpus()) // count
    if _held or slots < 2:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for turn, slot in ((turn, slot) for turn in itertools.count() for slot in range(slots)):
        lock = open(folder / f"{slot}.{turn}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus()[slot * count : (slot + 1) * count])
        return


def _container_limit() -> int | None:
    """Whole cores of a control group's quota."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError):
        return None
