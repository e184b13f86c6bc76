"""Advantages of tokens and steps."""

from dataclasses import replace

import pytest
import torch
from fakes import FixedPolicy, HashReward, encoded, engine, rollout_batch, tiny_policy
from test_interventions import groups

from igpo_lightning.algos.logprobs import Draw, MeanField, RandomMasking, Replay, hidden_tokens
from igpo_lightning.errors import ConfigError
from igpo_lightning.rollout import GreedyBaseline, PerCompletion, ZeroVariance
from igpo_lightning.sampling.canvas import completion_texts


def test_groups_without_a_difference_learn_from_their_entropy():
    """By hand: α 0.1; right: 0.1 H; wrong: 0.1 (H - max H); mixed: the advantage of each completion."""
    rollout = groups([[1, 1], [0, 0], [1, 0]], size=2)
    rollout = replace(rollout, advantages=torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.5, -0.5]]))
    rollout.completion_mask[:, :, 4:] = False
    nats = torch.tensor([1.0, 2.0, 0.0, 3.0, 9.0, 9.0]).expand(3, 2, 6)
    found = ZeroVariance(scale=0.1)(rollout, nats, None)
    torch.testing.assert_close(found[0, 1], torch.tensor([0.1, 0.2, 0.0, 0.3, 0.0, 0.0]))
    torch.testing.assert_close(found[1, 0], torch.tensor([-0.2, -0.1, -0.3, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(found[2, 0], torch.tensor([0.5, 0.5, 0.5, 0.5, 0.0, 0.0]))
    assert torch.equal(PerCompletion()(rollout, nats, None), rollout.advantages)
    with pytest.raises(ConfigError, match=r"algo\.credit\.scale=-1"):
        ZeroVariance(scale=-1)


def test_the_most_likely_tokens_fill_what_a_draw_hides():
    """Of a policy whose most likely token is the column's number."""
    batch = rollout_batch(tiny_policy())
    policy = FixedPolicy(lambda tokens: torch.eye(64)[torch.arange(tokens.shape[1]).expand_as(tokens)])
    hidden = torch.rand(batch.tokens.shape) < 0.5
    width, prompt = batch.tokens.shape[-1], batch.prompt_ids.shape[1]
    expected = torch.where(hidden, torch.arange(prompt, prompt + width), batch.tokens)
    assert torch.equal(hidden_tokens(policy, batch, Draw(hidden, hidden)), expected)
    whole = torch.ones(len(batch.tokens), 1, width, dtype=torch.bool)  # a canvas that the group shares
    shared = hidden_tokens(policy, batch, Draw(whole, whole))
    assert torch.equal(shared, torch.arange(prompt, prompt + width).expand_as(batch.tokens))


def test_returns_beside_a_greedy_end():
    """By hand, λ 0.5: rewards 1 and 0, greedy ends 1, 0 at step 0 and 0, 0 at step 1.

    Returns (r + 0.5 (r - r_t)) / 1.5: 2/3, 0 and 1, 0; less their means 1/3 and 1/2.
    """
    rollout = groups([[1, 0]], size=2)
    step = torch.tensor([0, 0, 1, 1, -1, -1]).expand(1, 2, 6)
    rollout = replace(rollout, step_map=step.int(), candidate=torch.zeros(1, dtype=torch.long))
    greedy = iter([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])])

    class Given:
        micro_batch = 1
        policy = FixedPolicy(lambda tokens: torch.eye(600)[torch.full_like(tokens, 7)], tokenizer=None)

        class algorithm:
            logprobs = Replay(2)

        def judge(self, rollout, texts):
            return next(greedy)

    import igpo_lightning.rollout.credit as credit

    before, credit.completion_texts = credit.completion_texts, lambda policy, tokens: ["?"] * len(tokens)
    try:
        found = GreedyBaseline(0.5)(rollout, torch.zeros(1, 2, 6), Given())
    finally:
        credit.completion_texts = before
    third, half = 1 / 3, 1 / 2
    torch.testing.assert_close(found[0, 0], torch.tensor([third, third, half, half, 0.0, 0.0]))
    torch.testing.assert_close(found[0, 1], -found[0, 0])


def test_in_a_rollout_it_judges_the_canvases_that_are_replayed():
    policy, estimator = tiny_policy(), Replay(4, keep=2, choose="entropy")
    made = engine(logprobs=estimator, credit=GreedyBaseline(1.0), reward=HashReward(0.4))
    prompts = encoded(policy, 4)
    rollout = made.run(policy, prompts, 0)
    assert rollout.advantages.shape == rollout.tokens.shape
    problems = [p.problem for p in prompts for _ in range(4)]
    for draw in estimator.draws(rollout, 0):
        texts = completion_texts(policy, hidden_tokens(policy, rollout, draw).flatten(0, 1))
        greedy = HashReward(0.4)(problems, texts).total.view(4, 4)
        returns = rollout.rewards - greedy / 2
        expected = (returns - returns.mean(1, keepdim=True))[..., None].expand_as(rollout.tokens)
        assert torch.equal(rollout.advantages[draw.scored], expected[draw.scored])
    scored = torch.stack([draw.scored for draw in estimator.draws(rollout, 0)]).any(0)
    assert (rollout.advantages[~scored] == 0).all()


def test_the_steps_of_highest_entropy_are_replayed_first():
    """Steps 0 to 3 of mean entropy 1, 3, 2, 0: of two, step 1 and then step 2."""
    rollout = groups([[1, 0]], size=2)
    step = torch.tensor([0, 1, 1, 2, 3, -1]).expand(1, 2, 6).int()
    nats = torch.tensor([1.0, 2.0, 4.0, 2.0, 0.0, 9.0]).expand(1, 2, 6)
    rollout = replace(rollout, step_map=step, step_entropy=nats)
    draws = Replay(4, keep=2, choose="entropy").draws(rollout, 0)
    assert [draw.scored[0, 0].nonzero()[:, 0].tolist() for draw in draws] == [[1, 2], [3]]
    assert draws[0].masked[0, 0].tolist() == [False, True, True, True, True, True]
    few = replace(rollout, step_map=torch.zeros_like(step))
    draws = Replay(4, keep=2, choose="entropy").draws(few, 0)
    assert draws[0].scored.all() and not draws[1].scored.any()  # it has one step only


def test_the_sampler_records_what_it_drew_from():
    """The entropy of a token is that of the replayed distribution, for a sampler of one step at a time."""
    policy, estimator = tiny_policy(), Replay(4, keep=3, choose="entropy")
    rollout = engine(logprobs=estimator).run(policy, encoded(policy, 4), 0)
    from igpo_lightning.algos.logprobs import score

    every = Replay(4).draws(rollout, 0)
    again = score(policy, rollout, every, entropy=True)
    drawn = rollout.step_map >= 0
    nats = again.entropy.sum(2)
    # the sampler can't draw the mask token, of which an estimator's distribution holds a little
    assert (nats - rollout.step_entropy)[drawn].abs().max() < 0.35 and rollout.step_entropy[drawn].min() > 0
    assert torch.corrcoef(torch.stack([nats[drawn], rollout.step_entropy[drawn]]))[0, 1] > 0.9
    assert (rollout.step_entropy[~drawn] == 0).all()
    assert engine(logprobs=MeanField()).run(policy, encoded(policy, 4), 0).step_entropy is None


@pytest.mark.parametrize("estimator", [RandomMasking(), Replay(4, keep=2)])
def test_draws_that_change_are_refused(estimator):
    with pytest.raises(ConfigError, match=r"algo\.credit: GreedyBaseline needs the same draws"):
        engine(logprobs=estimator, credit=GreedyBaseline())
