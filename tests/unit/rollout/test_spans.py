"""Hint ratios by a problem's history, and over a run."""

from types import SimpleNamespace

import pytest
import torch
from fakes import HashReward, MemoryLogger, inpaint, rollout_fit, tiny_policy, trainer

from igpo_lightning.errors import ConfigError
from igpo_lightning.rollout import ByDifficulty, OverRollouts, Whole
from igpo_lightning.rollout.history import History


def at(solved=None, index=0):
    return SimpleNamespace(solved=lambda p: solved, index=index)


def test_a_history_remembers_the_last_groups():
    history = History(groups=2)
    assert history.solved("a") is None
    history.record([("a", 0.0), ("b", 1.0), ("a", 0.5)])
    assert (history.solved("a"), history.solved("b")) == (0.25, 1.0)
    history.record([("a", 1.0)])
    assert history.solved("a") == 0.75  # of 0.5 and 1
    again = History(groups=2)
    again.load_state_dict(history.state_dict())
    again.record([("a", 0.0)])
    assert (again.solved("a"), history.solved("a")) == (0.5, 0.75)


@pytest.mark.parametrize(("solved", "window"), [
    (None, (0.2, 0.6)), (0.0, (0.4, 0.6)), (1.0, (0.2, 0.4)), (0.25, (0.35, 0.55)),
])  # fmt: skip
def test_hard_problems_get_more(solved, window):
    assert ByDifficulty(width=0.5)(0.2, 0.6, 0, at(solved)) == pytest.approx(window)


def test_widths_of_the_window():
    assert ByDifficulty(width=0.0)(0.2, 0.6, 0, at(0.5)) == pytest.approx((0.4, 0.4))
    assert ByDifficulty(width=1.0)(0.2, 0.6, 0, at(0.5)) == Whole()(0.2, 0.6, 0, at()) == (0.2, 0.6)
    with pytest.raises(ConfigError, match=r"algo\.inpaint\.span\.width=2"):
        ByDifficulty(width=2)


@pytest.mark.parametrize(("index", "window"), [
    (0, (0.2, 0.6)), (5, (0.15, 0.45)), (10, (0.1, 0.3)), (99, (0.1, 0.3)),
])  # fmt: skip
def test_hints_fade(index, window):
    assert OverRollouts(rollouts=10, final=0.5)(0.2, 0.6, 0, at(index=index)) == pytest.approx(window)


def test_growing_hints_end_at_the_whole_trace():
    assert OverRollouts(rollouts=1, final=3.0)(0.2, 0.6, 0, at(index=1)) == pytest.approx((0.6, 1.0))
    for options in ({"rollouts": 0}, {"rollouts": 5, "final": -1}):
        with pytest.raises(ConfigError, match=r"algo\.inpaint\.span"):
            OverRollouts(**options)


def hinted(tmp_path, span, rollouts=12):
    """Per rollout the mean hint tokens; and the module's history."""
    module, data = rollout_fit(
        tiny_policy(), rollouts=rollouts, inpaint=inpaint(ratio=(0.0, 1.0), span=span),
        reward=HashReward(0.1), num_iterations=1,
    )  # fmt: skip
    found, run = [], data.engine.run

    def recorded(*given):
        solved = data.engine.history.state_dict()
        rollout = run(*given)
        found.append((rollout, solved, given[1]))
        return rollout

    data.engine.run = recorded
    trainer(tmp_path, logger=MemoryLogger()).fit(module, datamodule=data)
    return found, data


def test_a_run_tells_the_history_of_what_it_sampled(tmp_path):
    found, data = hinted(tmp_path, ByDifficulty(width=0.0))
    for index, (_, known, prompts) in enumerate(found):
        seen = {p.problem.id for _, _, earlier in found[:index] for p in earlier}
        assert set(known) == seen, index  # of former rollouts alone
        assert all(p.problem.id in data.engine.history.state_dict() for p in prompts)
    shares = data.engine.history.state_dict().values()
    assert {len(s) for s in shares} == {2}  # 12 rollouts of 4 prompts, over 24 problems
    assert all(round(share * 4) == share * 4 for s in shares for share in s)


def test_all_wrong_problems_that_were_never_solved_get_all_of_the_trace(tmp_path):
    """Width 0, ratio (0, 1): ratio 1 - solved, so in the second pass an unsolved problem is told it all."""
    found, data = hinted(tmp_path, ByDifficulty(width=0.0))
    checked, mask = 0, data.policy.mask_id
    for rollout, known, prompts in found[6:]:
        for p, prompt in enumerate(prompts):
            hints = rollout.hint_mask[p].sum(-1)
            if known[prompt.problem.id] == [0.0] and (hints > 0).any():
                told = sum(token != mask for token in prompt.hint)
                assert (hints[hints > 0] == told).all()
                checked += 1
    assert checked > 1


def test_a_fading_ends_without_hints(tmp_path):
    found, _ = hinted(tmp_path, OverRollouts(rollouts=3, final=0.0), rollouts=6)
    assert not any(rollout.hint_mask.any() for rollout, _, _ in found[3:])
    assert torch.stack([rollout.hint_mask.any() for rollout, _, _ in found[:3]]).any()
