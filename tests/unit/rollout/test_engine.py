from collections import Counter

import pytest
import torch
from fakes import HashReward, algorithm, encoded, engine, inpaint, tiny_policy

from igpo_lightning.algos import TopEntropyHints
from igpo_lightning.algos.logprobs import MeanField, RandomMasking, score
from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.samples import KINDS
from igpo_lightning.rollout.records import sample_records
from igpo_lightning.types import Problem, Rollout, Scores


class AlwaysWrong:
    """All wrong, with a format reward for every other completion."""

    calls = 0

    def __call__(self, problems, texts):
        self.calls += 1
        total = torch.tensor([0.1 * (i % 2) for i in range(len(texts))])
        return Scores(total, torch.zeros(len(texts), dtype=torch.bool), {"format": total})


def answered(answer):
    return Problem("", "", "", answer)


def mean_field(policy, rollout):
    return score(policy, rollout, MeanField().draws(rollout, 0)).logps


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def test_a_window_has_all_that_the_update_needs(policy):
    prompts = encoded(policy, 5)
    batch = engine(inpaint=inpaint(), logprobs=RandomMasking(), num_iterations=3).run(policy, prompts, 4)
    assert batch.tokens.shape == (5, 4, 16)
    assert batch.old_logps.shape == batch.loss_mask.shape == (5, 4, 3 * 2, 16) and batch.draws == 2
    assert batch.ref_logps is None  # nobody asked for a reference
    assert (batch.index, batch.iteration, batch.part) == (4, 0, None)
    assert (batch.tokens != policy.mask_id).all()
    assert (batch.old_logps[batch.loss_mask] < 0).all()
    own = batch.completion_mask & ~batch.hint_mask
    assert (batch.step_map[own] >= 0).all() and (batch.step_map[batch.hint_mask] == -1).all()
    assert batch.step_map.max() == 3  # four steps
    torch.testing.assert_close(batch.advantages, batch.rewards - batch.rewards.mean(1, keepdim=True))
    assert not batch.old_logps.requires_grad


def test_counts_and_shares_of_a_window_by_hand(policy):
    prompts = encoded(policy, 8)
    kept = engine().run(policy, prompts, 0)
    run = engine(inpaint=inpaint())
    batch = run.run(policy, prompts, 0)
    wrong = ~kept.correct.any(1)
    triggered = int(wrong.sum())
    assert 0 < triggered < 8
    m = batch.metrics
    assert m["triggered"] == triggered and m["all_wrong_before"] == triggered / 8
    assert m["all_wrong_after"] == float((~batch.correct.any(1)).float().mean()) < m["all_wrong_before"]
    assert m["reward_before"] == m["correct_before"] == pytest.approx(float(kept.rewards.mean()))
    assert m["reward"] == pytest.approx(float(batch.rewards.mean()))
    assert m["completions"] == 8 * 4 + triggered * 4
    assert m["generated_tokens"] == m["completions"] * 16
    assert m["resampled"] == triggered * 4 and m["replaced"] <= min(m["resampled_correct"], 2 * triggered)
    assert m["reward"] == m["reward_before"] + m["replaced"] / 32  # each replaced one was worth 0, and now 1
    flat = batch.rewards.amax(1) == batch.rewards.amin(1)
    assert m["no_signal"] == float(flat.float().mean())
    # Groups that were not all wrong are as they were.
    assert torch.equal(batch.tokens[~wrong], kept.tokens[~wrong])
    assert not batch.hint_mask[~wrong].any()


def test_format_rewards_do_not_keep_a_group_from_its_hints(policy):
    reward = AlwaysWrong()
    batch = engine(inpaint=inpaint(), reward=reward).run(policy, encoded(policy, 3), 0)
    assert batch.metrics["triggered"] == 3 and reward.calls == 2
    assert batch.metrics["reward"] > 0 and batch.metrics["all_wrong_after"] == 1
    assert batch.metrics["reward/format"] == pytest.approx(0.05)


def test_a_process_without_wrong_groups_goes_along_with_the_others(policy, monkeypatch):
    """It makes their model calls, and scores nothing."""
    from igpo_lightning.rollout import resampler
    from igpo_lightning.sampling import generate

    prompts = encoded(policy, 2)
    expected = engine(reward=HashReward(1.0)).run(policy, prompts, 0)
    chunks = []
    for module in (resampler, generate):
        monkeypatch.setattr(
            module, "agree_any", lambda flag, device: chunks.append(flag) or flag or len(chunks) < 12
        )
    monkeypatch.setattr(generate, "agree_max", lambda value, device: max(value, 1))
    batch = engine(inpaint=inpaint(), reward=HashReward(1.0)).run(policy, prompts, 0)
    assert not all(chunks)  # others had calls to make when this one had none
    assert torch.equal(batch.tokens, expected.tokens) and batch.metrics["resampled"] == 0
    assert batch.metrics["completions"] == 8


def test_old_log_probs_are_those_of_the_policy(policy):
    batch = engine().run(policy, encoded(policy, 4), 0)
    assert torch.equal(mean_field(policy, batch.select(slice(2, 4))), batch.old_logps[2:4])


def test_reference_log_probs_are_those_of_the_starting_weights():
    policy = tiny_policy()
    policy.keep_reference()
    start = engine().run(policy, encoded(policy, 2), 0)
    assert torch.equal(start.ref_logps, start.old_logps)
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(1.1)
    moved = engine().run(policy, encoded(policy, 2), 0)
    moved.tokens = start.tokens
    assert not torch.equal(moved.ref_logps, moved.old_logps)
    with policy.reference() as frozen:
        assert torch.equal(mean_field(frozen, start), start.ref_logps)
    assert torch.equal(policy.model.lm_head.weight, next(iter(policy.network.lm_head.parameters())))


def test_the_filter_sees_entropies_and_hints(policy):
    run = engine(inpaint=inpaint(ratio=1.0), token_filter=TopEntropyHints(0.5))
    batch = run.run(policy, encoded(policy, 8), 0)
    hints = (batch.hint_mask & batch.completion_mask).sum(-1)
    kept = (batch.hint_mask & batch.loss_mask[:, :, 0]).sum(-1)
    assert hints.max() >= 3
    assert torch.equal(kept, torch.ceil(hints / 2).long())
    own = batch.completion_mask & ~batch.hint_mask
    assert torch.equal(batch.loss_mask[:, :, 0] & ~batch.hint_mask, own)


def test_records_are_a_fixed_mix_with_their_hints_and_gold_traces(policy):
    prompts = encoded(policy, 6)
    run = engine(inpaint=inpaint(ratio=1.0))
    batch = run.run(policy, prompts, 2)
    records = sample_records(policy, prompts, batch, 8)
    assert Counter((r.inpainted, r.correct) for r in records) == dict.fromkeys(KINDS, 2)
    for record in records:
        text = "".join(piece for piece, _ in record.pieces)
        again = HashReward()([answered(record.answer)], [text])
        assert again.correct.item() == record.correct == bool(record.reward)
        assert any(is_hint for _, is_hint in record.pieces) == record.inpainted
        assert record.rollout == 2
        assert record.trace == next(p.problem.trace for p in prompts if p.problem.prompt == record.prompt)
        assert "".join(record.tokens) == text
        assert {len(column) for column in record.columns.values()} == {len(record.tokens)}
        assert any(record.columns["hint"]) == record.inpainted
        assert [step < 0 for step in record.columns["step"]] == list(map(bool, record.columns["hint"]))
    hinted = next(r for r in records if r.inpainted)
    p, g = batch.hint_mask.any(-1).nonzero()[0].tolist()
    width = int(batch.completion_mask[p, g].sum())
    first = next(r for r in records if r.inpainted and r.correct)
    assert first.advantage == pytest.approx(float(batch.advantages[p, g]))
    assert first.columns["kept"] == batch.loss_mask[p, g, 0, :width].int().tolist()
    noted = batch.step_probability[p, g, :width].tolist()
    assert first.columns["probability"] == pytest.approx(noted, abs=1e-4)
    drawn = [value > 0 for value in first.columns["probability"]]
    assert drawn == [not hint for hint in first.columns["hint"]] and max(first.columns["probability"]) <= 1
    assert first.columns["old_logp"] == pytest.approx(batch.old_logps[p, g, 0, :width].tolist(), abs=1e-4)
    hint = next(piece for piece, is_hint in hinted.pieces if is_hint)
    assert hint.strip() in hinted.trace


def test_a_kind_that_a_window_lacks_is_not_made_up_by_others(policy):
    prompts = encoded(policy, 6)
    batch = engine().run(policy, prompts, 2)  # gives no hints
    kinds = Counter((r.inpainted, r.correct) for r in sample_records(policy, prompts, batch, 8))
    assert kinds == {(False, True): 2, (False, False): 2}


def test_slices_of_a_window_and_its_checkpoint(policy):
    batch = engine(logprobs=RandomMasking()).run(policy, encoded(policy, 4), 1)
    part = batch.select(slice(1, 3), iteration=1)
    assert torch.equal(part.tokens, batch.tokens[1:3]) and part.seeds.tolist() == batch.seeds[1:3].tolist()
    assert torch.equal(part.of_iteration("old_logps"), batch.old_logps[1:3, :, 2:4])
    assert part.of_iteration("ref_logps") is None
    assert torch.equal(part.parts["accuracy"], batch.parts["accuracy"][1:3])
    again = Rollout.from_state_dict(batch.state_dict())
    assert torch.equal(again.old_logps, batch.old_logps) and again.metrics == batch.metrics
    assert torch.equal(again.parts["accuracy"], batch.parts["accuracy"])


@pytest.mark.parametrize("bad, message", [
    ({"num_generations": 1}, "algo.num_generations=1"),
    ({"num_iterations": 0}, "algo.num_iterations=0"),
    ({"prompts_per_micro_batch": 0}, "algo.prompts_per_micro_batch=0"),
    ({"draws_per_micro_batch": 0}, "algo.draws_per_micro_batch=0"),
    ({"rows_per_forward": 0}, "algo.rows_per_forward=0"),
])  # fmt: skip
def test_bad_values_are_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        algorithm(**bad)
