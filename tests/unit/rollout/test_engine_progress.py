"""What a rollout tells of itself, and that telling changes nothing."""

from dataclasses import replace

import torch
from fakes import encoded, engine, inpaint, tiny_policy

from igpo_lightning import progress
from igpo_lightning.algos.logprobs import RandomMasking


def rolled_out(observer=None):
    policy = tiny_policy()
    run = engine(inpaint=inpaint(ratio=1.0), logprobs=RandomMasking(), rows_per_forward=5)
    prompts = encoded(policy, 6)
    if observer is None:
        return run.run(policy, prompts, 2)
    with progress.observed(observer):
        return run.run(policy, prompts, 2)


def test_a_rollout_says_what_it_is_doing_and_how_far_it_is():
    seen = []
    batch = rolled_out(lambda work: seen.append(replace(work)))
    names = list(dict.fromkeys(work.name for work in seen))
    assert names == ["sample", "score", "inpaint", "log-probs"]
    assert {work.rollout for work in seen} == {2}
    ends = [work for work in seen if work.over]
    assert [work.name for work in ends] == ["sample", "score", "inpaint", "score", "log-probs"]
    sampled, scored, again, _, estimated = ends
    rows = batch.rewards.numel()
    assert (sampled.progress, scored.rows, estimated.progress) == (rows, rows, estimated.rows)
    assert again.progress == again.rows == batch.metrics["resampled"]
    steps = [work for work in seen if work.name == "sample" and work.blocks]
    assert {work.block for work in steps} == {1, 2} and {work.blocks for work in steps} == {2}
    shown = [work.progress for work in seen if work.name == "sample"]
    assert shown == sorted(shown) and len(set(shown)) > 8


def test_it_is_the_same_rollout_whether_anyone_listens_or_not():
    alone, watched = rolled_out(), rolled_out(lambda work: None)
    assert torch.equal(alone.tokens, watched.tokens)
    assert torch.equal(alone.old_logps, watched.old_logps) and torch.equal(alone.loss_mask, watched.loss_mask)
