import pytest
import torch

from igpo_lightning.algos import LeaveOneOut, MeanCentred, Standardised, WithSignal
from igpo_lightning.checks import ConfigError

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


def test_the_unbiased_deviation():
    """Of the first group sqrt((0.5625 + 3 · 0.0625) / 3) = 0.5, of the second sqrt(1 / 3)."""
    got = Standardised(epsilon=1e-4, unbiased=True)(REWARDS)
    assert got[0].tolist() == pytest.approx([0.75 / 0.5001] + [-0.25 / 0.5001] * 3, rel=1e-5)
    assert got[1].tolist() == pytest.approx([0.5 / 0.577450, -0.5 / 0.577450] * 2, rel=1e-5)


def test_leave_one_out():
    """1 less the mean of three zeros; 0 less a third; 1.1 less (0.1 + 1.1 + 0.1) / 3."""
    expected = [[1.0, -1 / 3, -1 / 3, -1 / 3], [2 / 3, -2 / 3, 2 / 3, -2 / 3], [0.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(LeaveOneOut()(REWARDS), torch.tensor(expected))


def test_groups_that_are_too_hard_or_too_easy_do_not_count():
    """Means 0.25, 0.75 and 0.9: between 0.2 and 0.8 are two of three."""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.6]])
    found = WithSignal(MeanCentred(), between=(0.2, 0.8))(rewards)
    torch.testing.assert_close(found[:2], MeanCentred()(rewards)[:2] * 1.5)
    assert (found[2] == 0).all()
    by_token = WithSignal(lambda r: MeanCentred()(r)[..., None].expand(-1, -1, 5), (0.2, 0.8))(rewards)
    torch.testing.assert_close(by_token, found[..., None].expand(-1, -1, 5))
    with pytest.raises(ConfigError, match=r"algo.advantage.between=\[0.8,0.2\]"):
        WithSignal(MeanCentred(), between=(0.8, 0.2))


def test_groups_without_signal_give_their_weight_to_the_others():
    """Two of three groups have a say: times 3/2."""
    torch.testing.assert_close(WithSignal(MeanCentred())(REWARDS), MeanCentred()(REWARDS) * 1.5)
    silent = torch.ones(2, 4)
    assert (WithSignal(MeanCentred())(silent) == 0).all()
    whole = WithSignal(LeaveOneOut())(REWARDS[:2])
    torch.testing.assert_close(whole, LeaveOneOut()(REWARDS[:2]))  # all have a say: nothing changes
