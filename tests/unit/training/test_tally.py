from types import SimpleNamespace

import pytest
import torch

from igpo_lightning.algos.losses import Share
from igpo_lightning.training import tally as module
from igpo_lightning.training.policy_optimization import PolicyOptimization
from igpo_lightning.training.tally import Tally

CPU = torch.device("cpu")


def filled():
    tally = Tally()
    tally.add({"loss": torch.tensor(1.0), "r_max": 2.0, "r_min": torch.tensor(3.0), "s": share(1, 2)})
    tally.add({"loss": torch.tensor(4.0), "r_max": 1.0, "r_min": torch.tensor(5.0), "s": share(5, 10)})
    return tally


def share(part, whole):
    return Share(torch.tensor(part), torch.tensor(whole))


def test_means_extremes_and_shares_by_hand():
    """(1 + 4) / 2; (1 + 5) / (2 + 10), and not the mean of 1/2 and 1/2."""
    assert filled().local() == {"loss": 2.5, "r_max": 2.0, "r_min": 3.0, "s": 0.5}
    tally = Tally()
    tally.add({"s": share(1, 1)})
    tally.add({"s": share(0, 3)})
    assert tally.local() == {"s": 0.25}


def test_reading_changes_nothing_and_goes_on():
    tally = filled()
    assert tally.local() == tally.local() == tally.everyone(CPU)
    tally.add({"loss": torch.tensor(1.0)})
    assert tally.local()["loss"] == 2.0
    assert tally.pop("loss") == 2.0 and "loss" not in tally.local() and tally.pop("loss") is None
    tally.clear()
    assert tally.local() == tally.everyone(CPU) == {}


def test_a_share_of_nothing_is_left_out():
    tally = Tally()
    tally.add({"hints": share(0, 0), "loss": 1.0})
    assert tally.local() == tally.everyone(CPU) == {"loss": 1.0}


def test_all_processes(monkeypatch):
    """The other process has loss 5.5, extremes 7 and 0, and 6 of 6: (6/2 + 6/2) / (12/2 + 6/2) in means."""
    asked = []

    def reduce(values, how, device):
        asked.append(how)
        theirs = {"mean": [5.5, 3.0, 3.0], "max": [7.0, -0.0]}[how]
        mix = (lambda a, b: (a + b) / 2) if how == "mean" else max
        return [mix(a, b) for a, b in zip(values, theirs, strict=True)]

    monkeypatch.setattr(module, "reduce", reduce)
    found = filled().everyone(CPU)
    assert found == {"loss": 4.0, "r_max": 7.0, "r_min": 0.0, "s": pytest.approx(6 / 9)}
    assert asked == ["mean", "max"]


def test_one_transfer_for_all(monkeypatch):
    fetched = []
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: pytest.fail("a transfer of its own"))
    stack = torch.stack
    monkeypatch.setattr(torch, "stack", lambda tensors: fetched.append(len(tensors)) or stack(tensors))
    tally = filled()
    tally.local(), tally.local(), tally.everyone(CPU)
    assert fetched == [8]  # two micro-batches of loss, r_min, and both sides of s


def test_numbers_are_the_float32_ones():
    value = torch.tensor(0.1)
    tally = Tally()
    tally.add({"x": value})
    assert tally.local()["x"] == float(value)


@pytest.mark.parametrize(("other", "expected"), [((0.0, 0.0), 60.0), ((20.0, 12.0), 30.0)])
def test_hint_tokens_of_all_processes_are_those_of_their_hinted_completions(monkeypatch, other, expected):
    """4 completions of 60 hint tokens here; elsewhere none, or 12 of 20: (240 + 240) / 16."""
    mine = {"resampled": 0.0, "hint_tokens": 60.0, "hinted": 4.0}
    tokens, hinted = other
    elsewhere = [0.0, tokens * hinted, hinted]

    def reduce(values, how, device):
        return [(here + there) / 2 for here, there in zip(values, elsewhere, strict=False)]

    monkeypatch.setattr(module, "reduce", reduce)
    two = SimpleNamespace(trainer=SimpleNamespace(world_size=2), device=CPU)
    found = PolicyOptimization._over_ranks(two, mine)
    assert found["hint_tokens"] == pytest.approx(expected) and found["hinted"] == 4 + hinted
