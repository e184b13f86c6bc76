"""A saved rollout goes on with any number of processes: every update keeps its prompts."""

import pytest
import torch
from fakes import algorithm, rollout_batch, tiny_policy

from igpo_lightning.data.rollout_state import share
from igpo_lightning.data.schedule import RolloutSchedule
from igpo_lightning.types import Rollout

POLICY = tiny_policy()
WHOLE = rollout_batch(POLICY, prompts=12, group=2)


def shares(world, updates):
    """The rows of each process, in its order, as a schedule gives them."""
    options = {"rollouts": 1, "prompts_per_rollout": 12, "prompts_per_micro_batch": 1}
    whole = algorithm(**options, updates_per_iteration=updates)
    return [RolloutSchedule(12, whole, rank, world)[0].indices for rank in range(world)]


def by_update(shares, updates):
    """The rows of each update, of all processes."""
    return [
        {row for rows in shares for row in rows[u * len(rows) // updates : (u + 1) * len(rows) // updates]}
        for u in range(updates)
    ]


@pytest.mark.parametrize("updates", [1, 2, 3])
@pytest.mark.parametrize("world", [2, 4])
def test_an_update_has_the_same_prompts_whatever_the_number_of_processes(world, updates):
    if 12 % (world * updates) == 0:
        assert by_update(shares(world, updates), updates) == by_update(shares(1, updates), updates)


@pytest.mark.parametrize(
    ("before", "now", "updates"), [(4, 2, 3), (2, 4, 3), (1, 2, 6), (6, 1, 2), (3, 2, 2), (2, 1, 1)]
)
def test_a_rollout_is_shared_anew(before, now, updates):
    order = list(shares(1, 1)[0])  # the rows of the training set, place by place
    states = [
        {
            "rollout": WHOLE.select(torch.tensor([order.index(row) for row in rows])).state_dict(),
            "indices": list(rows),
            "totals": {"completions": 3.0},
        }
        for rows in shares(before, updates)
    ]
    found = [share(states, updates, rank, now) for rank in range(now)]
    assert [tuple(mine["indices"]) for mine in found] == shares(now, updates)
    assert sum(mine["totals"]["completions"] for mine in found) == 3.0 * before
    for mine in found:
        rollout = Rollout.from_state_dict(mine["rollout"])
        expected = WHOLE.select(torch.tensor([order.index(row) for row in mine["indices"]]))
        assert torch.equal(rollout.tokens, expected.tokens) and torch.equal(rollout.seeds, expected.seeds)
        assert torch.equal(rollout.old_logps, expected.old_logps)
