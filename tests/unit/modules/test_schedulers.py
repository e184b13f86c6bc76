import itertools

import pytest
import torch

from igpo_lightning.modules.schedulers import warmup_cosine


def test_warm_up_then_cosine():
    """4 updates of warm-up, then from 1 to 0.1 over 10: half way 0.1 + 0.9 / 2."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = warmup_cosine(optimizer, warmup=4, total=14, final=0.1)
    rates = []
    for _ in range(17):
        rates.append(optimizer.param_groups[0]["lr"] / 2)
        optimizer.step()
        scheduler.step()
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[9] == pytest.approx(0.55) and rates[14:] == pytest.approx([0.1] * 3)
    assert all(a > b for a, b in itertools.pairwise(rates[4:15]))
