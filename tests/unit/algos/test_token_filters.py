import pytest
import torch

from igpo_lightning.algos import AllTokens, TopEntropyHints
from igpo_lightning.checks import ConfigError


def row(*bits):
    return torch.tensor([bits], dtype=torch.bool)


ENTROPY = torch.tensor([[0.5, 2.0, 1.0, 3.0, 0.1, 9.0]])
LOSS = row(1, 1, 1, 1, 1, 0)


@pytest.mark.parametrize("fraction, kept", [
    (0.0, []),
    (0.2, [3]),        # ceil(0.2 · 3) = 1: the hint of entropy 3
    (0.34, [1, 3]),    # ceil(1.02) = 2
    (0.5, [1, 3]),     # ceil(1.5) = 2
    (1.0, [0, 1, 3]),
])  # fmt: skip
def test_of_the_hints_the_most_uncertain_share_stays(fraction, kept):
    hints = row(1, 1, 0, 1, 0, 1)  # three within the completion; the one after its end counts for nothing
    mask = TopEntropyHints(fraction)(LOSS, hints, ENTROPY)
    own = [2, 4]
    assert torch.nonzero(mask[0])[:, 0].tolist() == sorted(kept + own)


def test_ties_keep_exactly_as_many_the_first_ones():
    hints = row(1, 1, 1, 1, 1, 0)
    mask = TopEntropyHints(0.4)(LOSS, hints, torch.ones(1, 6))
    assert mask[0].tolist() == [True, True, False, False, False, False]


def test_the_share_is_of_each_completion_alone():
    hints = torch.stack([row(1, 1, 1, 1, 1, 1)[0], row(0, 0, 1, 0, 0, 0)[0], row(0, 0, 0, 0, 0, 0)[0]])
    loss = torch.ones(3, 6, dtype=torch.bool)
    mask = TopEntropyHints(0.2)(loss, hints, ENTROPY.expand(3, 6))
    assert mask.sum(-1).tolist() == [2, 6, 6]  # ceil(1.2) of six hints; ceil(0.2) of one; no hints
    assert mask[0].tolist() == [False, False, False, True, False, True]


def test_shapes_of_a_window():
    shape = (2, 3, 4, 6)
    mask = TopEntropyHints(0.2)(
        torch.ones(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool), torch.rand(shape)
    )
    assert mask.shape == shape and (mask.sum(-1) == 2).all()


@pytest.mark.parametrize("hundredths", [7, 14, 20, 28, 55, 70])
def test_no_rounding_error_adds_a_token(hundredths):
    """0.28 · 25 is 7.000000000000001 in floating point."""
    counts = torch.arange(1, 257)
    mask = torch.arange(256) < counts[:, None]
    kept = TopEntropyHints(hundredths / 100)(mask, mask, torch.rand(256, 256)).sum(-1)
    assert kept.tolist() == [-(-hundredths * n // 100) for n in counts.tolist()]


def test_all_tokens_is_the_loss_mask():
    assert torch.equal(AllTokens()(LOSS, row(1, 1, 0, 1, 0, 1), ENTROPY), LOSS)


def test_a_bad_fraction_is_refused():
    with pytest.raises(ConfigError, match=r"algo.token_filter.top_entropy_quantile=1.2"):
        TopEntropyHints(1.2)
