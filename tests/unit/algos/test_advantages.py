import pytest
import torch

from igpo_lightning.algos import MeanCentred, Standardised

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.1, 0.1, 1.1, 0.1], [0.0, 0.0, 0.0, 0.0]])


def test_mean_centred():
    expected = [[0.75, -0.25, -0.25, -0.25], [0.5, -0.5, 0.5, -0.5], [0.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(MeanCentred()(REWARDS), torch.tensor(expected))


def test_standardised():
    """Deviation of the first group: sqrt((0.5625 + 3 · 0.0625) / 4) = 0.4330; of the second 0.5."""
    got = Standardised(epsilon=1e-4)(REWARDS)
    first = [0.75 / 0.433113, -0.25 / 0.433113, -0.25 / 0.433113, -0.25 / 0.433113]
    assert got[0].tolist() == pytest.approx(first, rel=1e-5)
    assert got[1].tolist() == pytest.approx([0.5 / 0.5001, -0.5 / 0.5001] * 2, rel=1e-5)
    assert got[2].tolist() == [0.0, 0.0, 0.0, 0.0]  # not NaN
