import itertools

import pytest
import torch

from igpo_lightning.training.schedulers import warmup_cosine, warmup_linear


def rates(schedule, updates, **settings):
    """Shares of the peak at the first ``updates`` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, **settings)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"] / 2)
        optimizer.step()
        scheduler.step()
    return found


def test_warm_up_then_cosine():
    """4 updates of warm-up, then from 1 to 0.1 over 10: half way 0.1 + 0.9 / 2."""
    found = rates(warmup_cosine, 17, warmup=4, total=14, final=0.1)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[9] == pytest.approx(0.55) and found[14:] == pytest.approx([0.1] * 3)
    assert all(a > b for a, b in itertools.pairwise(found[4:15]))


def test_warm_up_then_linear():
    """1 update of warm-up at half the peak, then down by a fifth at each of the 5 that are left."""
    found = rates(warmup_linear, 8, warmup=1, total=6)
    assert found == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0])


def test_a_final_rate_of_one_is_a_constant_rate():
    assert rates(warmup_linear, 4, warmup=0, total=3, final=1.0) == [1.0] * 4


def test_a_run_that_ends_within_its_warm_up_goes_on_warming_up():
    assert rates(warmup_linear, 2, warmup=3, total=2) == pytest.approx([0.25, 0.5])
