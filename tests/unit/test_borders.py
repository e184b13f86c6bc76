"""What others have published fits into one small class each, named by a config and by nothing else."""

from dataclasses import dataclass
from typing import Any

import borders
import pytest
import torch
from attrs import define
from fakes import TINY_RL, compose, encoded, engine, rollout_batch, tiny_policy

from igpo_lightning.algos.logprobs import score
from igpo_lightning.rollout import AllWrong, ReplaceWrong, Retry
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.training.run import build
from igpo_lightning.types import Problem, Scores

OWN = {  # option of a config group → its file
    "algo/loss": "_target_: borders.GroupSoftmax",
    "algo/logprobs": "{_target_: borders.Replay, steps: 4, merge: 2}",
    "algo/inpaint": """
_target_: igpo_lightning.rollout.Retry
when: {_target_: igpo_lightning.rollout.AllWrong}
hints: {_target_: borders.AnswerForcing, tokens: 4}
merge: {_target_: igpo_lightning.rollout.ReplaceWrong, share: 0.5}
""",
    "reward": """
_target_: igpo_lightning.rewards.RewardSum
correctness: tests
terms: {tests: {_target_: borders.PassesTests}}
""",
    "sampler": """
{_target_: igpo_lightning.sampling.BlockwiseSampler, length: 16, block_length: 8, steps: 4, temperature: 1.0,
 acceptance: {_target_: borders.EntropyBound, bound: 2.0}}
""",
}


@pytest.mark.parametrize("group", OWN)
def test_each_trains_from_one_config_file(tmp_path, group):
    _trains(tmp_path, group, OWN[group])


def _trains(tmp_path, group, text):
    file = tmp_path / "own" / group / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    own = [f"hydra.searchpath=[file://{tmp_path / 'own'}]", f"{group}=mine", "algo.draws_per_micro_batch=1"]
    cfg = compose(tmp_path, "algo=igpo", *TINY_RL, *own)
    module, data, fit = build(cfg)
    before = [weight.clone() for weight in module.parameters()]
    fit.fit(module, datamodule=data)
    assert fit.global_step == data.updates == 4
    assert all(weight.isfinite().all() for weight in module.parameters())
    assert any((a != b).any() for a, b in zip(before, module.parameters(), strict=True))


@dataclass
class Sparing:
    """One token a step, the surest."""

    needs_entropy: bool = False

    def most_steps(self, steps, width):
        return width

    def __call__(self, confidence, entropy, masked, left):
        surest = confidence.masked_fill(~masked, -torch.inf).argmax(-1, keepdim=True)
        return torch.zeros_like(masked).scatter(-1, surest, True) & masked


@dataclass
class Short:
    """1 for a text of so many characters at most."""

    most: int
    weight: float = 0.5

    def __call__(self, problems, completions):
        return [float(len(text) <= self.most) for text in completions]


@define
class Halved:
    """A loss within a loss."""

    loss: Any
    needs_reference: bool = False

    def __call__(self, x):
        loss, metrics = self.loss(x)
        return loss / 2, metrics


@define
class Listed:
    """An estimator out of a list of them."""

    parts: list
    renewed: bool = False

    def count(self, width):
        return sum(part.count(width) for part in self.parts)

    def draws(self, rollout, iteration):
        return [draw for part in self.parts for draw in part.draws(rollout, iteration)]


@dataclass
class OneTerm:
    """A reward that is a dataclass itself."""

    term: Any

    def __call__(self, problems, completions):
        values = torch.tensor(self.term(problems, completions), dtype=torch.float32, device="cpu")
        return Scores(values, values > 0, {"short": values})


RECORDS = {  # the same for classes whose fields Hydra would take for the schema of a config
    "reward": "{_target_: test_borders.OneTerm, term: {_target_: test_borders.Short, most: 20}}",
    "reward ": """
_target_: igpo_lightning.rewards.RewardSum
correctness: short
terms: {short: {_target_: test_borders.Short, most: 20}, long: {_target_: test_borders.Short, most: 90}}
""",
    "algo/loss": "{_target_: test_borders.Halved, loss: {_target_: borders.GroupSoftmax}}",
    "algo/logprobs": "{_target_: test_borders.Listed, parts: [{_target_: borders.Replay, steps: 4}]}",
    "sampler": """
{_target_: igpo_lightning.sampling.BlockwiseSampler, length: 16, block_length: 8, steps: 4, temperature: 1.0,
 acceptance: {_target_: test_borders.Sparing}}
""",
}


@pytest.mark.parametrize("group", RECORDS)
def test_pieces_may_be_dataclasses_and_attrs_classes(tmp_path, group):
    _trains(tmp_path, group.strip(), RECORDS[group])


@torch.no_grad()
def test_replayed_tokens_are_read_where_they_were_written():
    """Greedy decoding wrote each token as the likeliest of its canvas: replay shows that canvas."""
    policy = tiny_policy()
    rollout = engine(sampler=BlockwiseSampler(16, 8, 16)).run(policy, encoded(policy, 3), 0)
    draws = borders.Replay(16).draws(rollout, 0)
    found = score(policy, rollout, draws)
    assert (found.scored.sum(2) == (rollout.step_map >= 0)).all() and found.scored.sum() > 50
    for p in range(3):
        ids = rollout.prompt_ids[p][rollout.prompt_mask[p]]
        for k, draw in enumerate(draws):
            canvas = torch.cat([ids, rollout.tokens[p, 0].masked_fill(draw.masked[p, 0], policy.mask_id)])
            table = policy(canvas[None])[0, -16:].log_softmax(-1)
            for column in torch.nonzero(draw.scored[p, 0])[:, 0].tolist():
                token = int(rollout.tokens[p, 0, column])
                expected = pytest.approx(float(table[column, token]), abs=1e-4)
                assert float(found.logps[p, 0, k, column]) == expected
                table[column, policy.mask_id] = -torch.inf
                assert int(table[column].argmax()) == token


def test_hints_are_not_replayed():
    batch = rollout_batch(tiny_policy())
    batch.step_map = torch.arange(16, dtype=torch.int32).expand(3, 3, 16).masked_fill(batch.hint_mask, -1)
    draws = borders.Replay(16, merge=4).draws(batch, 0)
    assert len(draws) == 4 and not any((draw.masked & batch.hint_mask).any() for draw in draws)
    assert torch.equal(torch.stack([draw.scored for draw in draws]).sum(0), (~batch.hint_mask).long())


def test_an_entropy_bound_by_hand():
    """Of .1 .2 .3 nats, bound .25: the sum less the largest is 0, .1, .3, so two; the sure column first."""
    entropy = torch.tensor([[0.3, 0.1, 9.0, 0.2], [5.0, 6.0, 0.0, 7.0]])
    masked = torch.tensor([[True, True, False, True], [True, True, False, True]])
    accepted = borders.EntropyBound(0.25)(None, entropy, masked, 1)
    assert accepted.tolist() == [[False, True, False, True], [True, False, False, False]]


def test_forced_answers_stand_at_their_place():
    policy = tiny_policy()
    prompts = encoded(policy, 4)
    retry = Retry(AllWrong(), borders.AnswerForcing(3), ReplaceWrong(1.0), completions=2, purpose="force")
    rollout = engine(inpaint=retry).run(policy, prompts, 0)
    hinted = rollout.hint_mask.any(-1)
    assert (
        rollout.metrics["triggered"] > 0 and rollout.metrics["resampled"] == 2 * rollout.metrics["triggered"]
    )
    for p, g in torch.nonzero(hinted).tolist():
        response = prompts[p].response
        place = torch.nonzero(rollout.hint_mask[p, g])[:, 0]
        assert place.tolist() == list(range(len(response) - 3, len(response)))
        assert rollout.tokens[p, g, place].tolist() == list(response[-3:])


def test_a_reward_may_read_all_that_a_problem_has():
    problem = Problem("t/1", "", "", "", {"tests": ("a", "b")})
    assert borders.PassesTests()([problem] * 2, ["b a", "a"]) == [1.0, 0.0]
