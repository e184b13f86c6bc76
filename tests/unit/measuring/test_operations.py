"""Operations, counted by hand on a network of width 16 with two layers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fakes import LORA
from torch.utils import benchmark

from igpo_lightning.measuring.operations import Counter, Shapes, plain_rate
from igpo_lightning.measuring.weights import Ids
from igpo_lightning.models import create_policy

# Of one layer: four projections of 16 x 16, and three matrices of 16 x 24.
WEIGHTS = 4 * 16 * 16 + 3 * 16 * 24
V = 32


def policy(**changes):
    sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "mlp_size": 24}
    return create_policy(Ids(V, V - 1, V - 2), **{**sizes, **changes})


def counted(policy, run):
    counter = Counter(Shapes.of(policy.network))
    with counter.watching(policy):
        run()
    return counter


def test_the_sizes_of_a_network():
    shapes = Shapes.of(policy().network)
    assert (shapes.layers, shapes.attention, shapes.head) == (2, 16, (V, 16))
    assert shapes.weights == shapes.trained == WEIGHTS == 2176 and shapes.head_trained


def test_a_forward_of_three_rows_of_ten_columns_with_four_scored():
    made, ids = policy(), torch.ones(3, 10, dtype=torch.long)
    at = torch.zeros(3, 10, dtype=torch.bool)
    at[0, :4] = True
    with torch.no_grad():
        found = counted(made, lambda: made(ids, None, at))
    # 30 tokens, 2 layers: 2 operations a weight, 4 * 10 keys * 16 of attention; 4 positions of the head.
    assert found.operations == 2 * 30 * (2 * 2176 + 4 * 10 * 16) + 2 * 4 * 16 * V
    assert (found.rows, found.tokens, found.positions) == (3, 30, 4)


def test_a_backward_pass_of_all_weights_is_twice_a_forward():
    made, ids = policy(), torch.ones(3, 10, dtype=torch.long)
    found = counted(made, lambda: made(ids).sum().backward())
    forward = 2 * 30 * (2 * 2176 + 4 * 10 * 16) + 2 * 30 * 16 * V
    assert found.operations == 3 * forward


@pytest.mark.parametrize("checkpointing", [False, True])
def test_of_frozen_weights_only_the_inputs_have_a_gradient(checkpointing):
    """Rank 2 on q, v (16 → 16) and down (24 → 16): 2 (16 + 16) twice, 2 (24 + 16) once."""
    made, ids = policy(lora=LORA).train(), torch.ones(3, 10, dtype=torch.long)
    if checkpointing:
        made.network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        made.network.enable_input_require_grads()
    found = counted(made, lambda: made(ids).sum().backward())
    adapters = 2 * 2 * 32 + 2 * 40
    assert Shapes.of(made.network).trained == adapters == 208
    forward = 2 * 30 * (2 * (2176 + 208) + 4 * 10 * 16)
    trained = 2 * 30 * (2 * 208 + 4 * 10 * 16)
    assert found.operations == 2 * forward + trained + 2 * (2 * 30 * 16 * V)


def test_columns_with_cached_neighbours_see_the_whole_canvas():
    made = policy()
    counter = Counter(Shapes.of(made.network))
    with torch.no_grad(), counter.watching(made):
        made.network.model(input_ids=torch.ones(3, 10, dtype=torch.long))
        before = counter.operations
        made.network.model(input_ids=torch.ones(3, 4, dtype=torch.long))
    assert counter.operations - before == 2 * 12 * (2 * 2176 + 4 * 10 * 16)


def test_a_frozen_copy_is_counted_as_the_policy_is():
    made, ids = policy(), torch.ones(3, 10, dtype=torch.long)
    made.keep_reference()
    with torch.no_grad():
        alone = counted(made, lambda: made(ids))

        def run():
            with made.reference() as frozen:
                frozen(ids)

        assert counted(made, run).operations == alone.operations > 0


def test_what_is_not_watched_is_not_counted():
    made = policy()
    found = counted(made, lambda: None)
    made(torch.ones(1, 2, dtype=torch.long))
    assert found.operations == 0 and not made.network.model.layers[0]._forward_pre_hooks


def test_the_rate_counts_the_products_that_were_timed(monkeypatch):
    """A round of products is done once, and is said to take 2 s."""

    class Timer(benchmark.Timer):
        def blocked_autorange(self):
            self.timeit(1)
            return SimpleNamespace(mean=2.0)

    monkeypatch.setattr("igpo_lightning.measuring.operations.Timer", Timer)
    shapes = Shapes.of(policy().network)
    assert plain_rate(shapes, 6, torch.float32, torch.device("cpu")) == 6 * 2176
