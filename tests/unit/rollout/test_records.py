"""Metrics of a rollout, by hand."""

from types import SimpleNamespace

import pytest
import torch

from igpo_lightning.rollout.interventions import Report
from igpo_lightning.rollout.phases import Phases
from igpo_lightning.rollout.records import costs, rollout_metrics
from igpo_lightning.types import Rollout

END, PAD = 2, 0


def rollout(**changes):
    """Two groups of two completions of four tokens. The third fills the canvas, the fourth ends in the last
    column."""
    tokens = torch.tensor([[[5, END, PAD, PAD], [END, PAD, PAD, PAD]], [[5, 5, 5, 5], [5, 5, 5, END]]])
    completed = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0]], [[1, 1, 1, 1], [1, 1, 1, 1]]]).bool()
    hints = torch.zeros_like(completed)
    hints[1, 0, :2] = True
    learnt = completed.clone()
    learnt[1, 0, 1] = False
    fields = {
        "prompt_ids": torch.ones(2, 3, dtype=torch.long),
        "prompt_mask": torch.ones(2, 3, dtype=torch.bool),
        "seeds": torch.zeros(2, dtype=torch.long),
        "tokens": tokens,
        "hint_mask": hints,
        "completion_mask": completed,
        "step_map": torch.zeros(2, 2, 4, dtype=torch.int32),
        "rewards": torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
        "correct": torch.tensor([[True, False], [False, False]]),
        "answers": torch.tensor([[7, -1], [9, 9]]),
        "advantages": torch.tensor([[0.5, -0.75], [0.0, 0.0]]),
        "loss_mask": learnt.unsqueeze(2),
    }
    return Rollout(**{**fields, **changes})


def measured(first, final):
    return rollout_metrics(first, final, Report(), torch.tensor(1.25), (END,))


def test_scalars_of_a_rollout():
    found = measured(rollout(), rollout())
    assert found["reward_std"] == pytest.approx(0.5**0.5 / 2)  # of 1 and 0 with n - 1, and of 0.5 and 0.5
    assert found["no_signal"] == 0.5 and found["pass_at_g"] == 0.5
    assert (found["advantage_min"], found["advantage_max"]) == (-0.75, 0.5)
    assert (found["completions/min_length"], found["length"], found["completions/max_length"]) == (1, 2.75, 4)
    assert found["completions/clipped_ratio"] == 0.25
    assert found["hint_gradient_share"] == pytest.approx(1 / 10)
    assert found["entropy"] == 1.25
    assert found["distinct_answers"] == 1.0 and found["unparsed"] == 0.25  # {7}, {9}; one states none
    assert all(isinstance(value, float) for value in found.values())


def test_answers_and_their_passing_are_the_models_own():
    replaced = rollout(correct=torch.ones(2, 2, dtype=torch.bool), answers=torch.full((2, 2), 3))
    found = measured(rollout(answers=torch.tensor([[1, 2], [-1, -1]])), replaced)
    assert found["pass_at_g"] == 0.5 and found["distinct_answers"] == 1.0 and found["unparsed"] == 0.5


def test_a_reward_that_reads_no_answers_tells_of_none():
    assert not {"distinct_answers", "unparsed"} & set(measured(rollout(answers=None), rollout()))


def test_work_and_time():
    spent = SimpleNamespace(cost={"completions": 4, "row_forwards": 24}, drawn=12, verifying=3.0)
    phases = Phases()
    phases.seconds |= {"sample": 2.0, "score": 0.5}
    assert costs(spent, phases, 4.0) == {
        "completions": 4.0, "row_forwards": 24.0, "seconds": 4.0, "forwards_per_token": 2.0,
        "time/sample": 2.0, "time/score": 0.5, "time/logprobs": 0.0, "time/verify": 3.0,
        "time/tokens_per_second": 6.0,
    }  # fmt: skip
