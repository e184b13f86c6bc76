"""Metrics of ratios and divergences, by hand."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import loss_inputs

from igpo_lightning.algos.losses import ClippedSurrogate, policy_metrics
from igpo_lightning.algos.losses.watching import ratio_metrics

# Two completions of three tokens; the last token of each is not kept. Ratios 2, 1 | 0.5, 1.
OLD = torch.zeros(1, 2, 3)
LOGPS = torch.tensor([[[2.0, 1.0, 9.0], [0.5, 1.0, 9.0]]]).log()
MASK = torch.tensor([[[True, True, False], [True, True, False]]])
HINTS = torch.tensor([[[[True, False, True]], [[False, False, False]]]])


def metrics(advantages, level="token", hints=HINTS):
    inputs = loss_inputs(LOGPS, OLD, OLD, torch.tensor([advantages]), MASK, hint_mask=hints)
    return ClippedSurrogate(level)(inputs)[1]


def test_token_ratios_and_sides_of_clipping():
    found = metrics([1.0, -1.0])  # 2 is clipped from above, 0.5 from below
    assert (float(found["ratio_max"]), float(found["ratio_min"])) == pytest.approx((2.0, 0.5))
    assert float(found["ratio_mean"]) == pytest.approx((2 + 1 + 0.5 + 1) / 4)
    assert float(found["clip_fraction"]) == 0.5
    assert float(found["clip_ratio/low_mean"]) == float(found["clip_ratio/high_mean"]) == 0.25
    assert float(found["clip_ratio/hints"]) == 1.0  # one hint is kept, and it is clipped
    assert float(found["kept_tokens"]) == 2.0


def test_an_advantage_of_the_other_sign_clips_nothing():
    found = metrics([-1.0, 1.0])
    assert {float(found[f"clip_ratio/{side}"]) for side in ("low_mean", "high_mean", "hints")} == {0.0}


def test_ratios_of_sequences():
    """exp of the mean log-ratio: √2 and √½, both outside of 0.8 to 1.2; all their tokens count."""
    found = metrics([1.0, -1.0], "sequence")
    assert float(found["ratio_max"]) == pytest.approx(math.sqrt(2))
    assert float(found["ratio_min"]) == pytest.approx(math.sqrt(0.5))
    assert float(found["clip_ratio/low_mean"]) == float(found["clip_ratio/high_mean"]) == 0.5


def test_nobody_asks_for_hints():
    assert "clip_ratio/hints" not in metrics([1.0, -1.0], hints=None)


def test_divergence_from_the_policy_that_sampled():
    """ρ - 1 - log ρ of 2 and 0.5 is 1 - log 2 and log 2 - 1/2; of 1 it is 0."""
    found = policy_metrics(loss_inputs(LOGPS, OLD, None, torch.tensor([[1.0, -1.0]]), MASK))
    assert float(found["kl_old"]) == pytest.approx((1 - math.log(2) + math.log(2) - 0.5) / 4)
    whole = found["kl_old"].whole
    assert int(whole) == 4


def test_kept_tokens_are_counted_once_however_many_draws_score_them():
    """Draw 0 scores tokens 0 and 1, draw 1 tokens 1 and 2, of one completion."""
    mask = torch.tensor([[[[True, True, False], [False, True, True]]]])
    zeros = torch.zeros(1, 1, 2, 3)
    given = loss_inputs(zeros[:, :, 0], zeros[:, :, 0], None, torch.ones(1, 1), mask[:, :, 0])
    given = replace(given, logps=zeros, old=zeros, mask=mask)
    found = ratio_metrics(given, zeros + 1, mask & False, mask & False)
    assert float(found["kept_tokens"]) == 3.0
