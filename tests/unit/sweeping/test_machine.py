from __future__ import annotations

import os

import pytest

from igpo_lightning.sweeping import machine


@pytest.fixture
def of_size(monkeypatch):
    """``of_size(cores=8, gpus=4)`` makes the machine look like that."""

    def pretend(cores: int = 8, gpus: int = 0) -> None:
        monkeypatch.setattr(machine, "cores", lambda: cores)
        monkeypatch.setattr(machine, "gpus", lambda: tuple(map(str, range(gpus))))
        monkeypatch.setattr(machine, "_held", [])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "untouched")

    return pretend


@pytest.mark.parametrize(
    ("devices", "count"),
    [(1, 1), (2, 2), ("2", 2), ([3], 1), ([0, 1], 2), ("0,1", 2), ("0,", 1),
     ("auto", None), (-1, None), ("-1", None)],
)  # fmt: skip
def test_counts_of_devices(devices, count):
    assert machine.device_count(devices) == count


@pytest.mark.parametrize(
    ("accelerator", "devices", "jobs"),
    [("cpu", 1, 8), ("cpu", 3, 2), ("cpu", 20, 1), ("cpu", "auto", 8),
     ("gpu", 1, 4), ("gpu", 2, 2), ("gpu", "auto", 1), ("auto", 1, 4)],
)  # fmt: skip
def test_jobs_side_by_side(of_size, accelerator, devices, jobs):
    of_size(cores=8, gpus=4)
    assert machine.jobs_at_once(accelerator, devices) == jobs


def test_without_gpus_auto_means_cores(of_size):
    of_size(cores=8, gpus=0)
    assert machine.jobs_at_once("auto", 1) == 8
    assert machine.jobs_at_once("gpu", 1) == 1  # Lightning will say what is wrong


def test_jobs_take_different_gpus_and_share_when_there_are_none_left(of_size, monkeypatch, tmp_path):
    of_size(gpus=4)
    taken, processes = [], []
    for _ in range(3):
        processes.append([])  # the locks of a process of its own
        monkeypatch.setattr(machine, "_held", processes[-1])
        machine.claim_gpus(tmp_path, 2)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["0,1", "2,3", "0,1"]
    machine.claim_gpus(tmp_path, 2)  # the process's next job keeps them
    assert (len(processes[-1]), os.environ["CUDA_VISIBLE_DEVICES"]) == (1, "0,1")
    processes[1][0].close()
    monkeypatch.setattr(machine, "_held", [])
    machine.claim_gpus(tmp_path, 2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_a_single_gpu_is_left_as_it_is(of_size, tmp_path):
    of_size(gpus=1)
    machine.claim_gpus(tmp_path, 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "untouched"


def test_visible_gpus_are_those_named(monkeypatch):
    for named, found in [("2,3", ("2", "3")), ("", ()), ("-1", ())]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert machine.gpus.__wrapped__() == found
