import pytest
import torch
from fakes import FixedPolicy, encoded, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.sampling.canvas import attention_of, collate
from igpo_lightning.seeding import torch_rng

EOS, MASK = 0, 1


@torch.no_grad()
def naive(policy, row, length, block, steps):
    """One unpadded row, greedily, written from the paper's words: full forwards, python loops, no tricks."""
    row = row.clone()
    begin = len(row) - length
    per_block = steps // (length // block)
    for left in range(begin, len(row), block):
        total = sum(int(row[c]) == policy.mask_id for c in range(left, left + block))
        for step in range(per_block):
            empty = [c for c in range(left, left + block) if int(row[c]) == policy.mask_id]
            logits = policy(row[None])[0].clone()
            logits[:, policy.mask_id] = float("-inf")
            probability = logits.softmax(-1)
            best = sorted(empty, key=lambda c: -float(probability[c].max()))
            for c in best[: total // per_block + (step < total % per_block)]:
                row[c] = int(probability[c].argmax())
        if any(int(t) in policy.stop_ids for t in row[left : left + block]):
            return torch.where(row == policy.mask_id, policy.eos_id, row)
    return row


@pytest.mark.parametrize("block, steps", [(12, 1), (12, 5), (12, 12), (4, 3), (4, 6), (4, 12), (6, 8)])
@pytest.mark.parametrize("hints", [0.0, 0.4])
def test_greedy_decoding_is_the_naive_algorithm_row_by_row(block, steps, hints):
    policy = tiny_policy(seed=10)
    with torch.no_grad():  # so that some rows, not all, end early
        policy.model.lm_head.weight[policy.eos_id] *= 1.6 if hints else 1.3
    prompts = encoded(policy, 8)
    tensors = collate(prompts, policy.pad_id)
    assert not tensors.mask.all()
    rng = torch_rng("hints")
    canvas = torch.full((8, 12), policy.mask_id)
    hint = torch.rand(canvas.shape, generator=rng) < hints
    canvas[hint] = torch.randint(4, 60, (int(hint.sum()),), generator=rng)
    full = torch.cat([tensors.ids, canvas], dim=1)
    samples = BlockwiseSampler(12, block, steps)(policy, full, attention_of(tensors.mask, 12), range(8))
    for row in range(8):
        alone = torch.cat([tensors.ids[row][tensors.mask[row]], canvas[row]])
        expected = naive(policy, alone, 12, block, steps)[-12:]
        assert samples.tokens[row, -12:].tolist() == expected.tolist()
    assert torch.equal(samples.tokens[:, -12:][hint], canvas[hint])
    assert torch.equal(samples.tokens[:, :-12], tensors.ids)
    ended = (samples.tokens[:, -12:] == policy.eos_id).any(1)
    assert 0 < ended.sum() < 8


def confident_left(tokens):
    """Token 2 + column everywhere, more certain the further left."""
    columns = tokens.shape[1]
    logits = torch.zeros(*tokens.shape, 2 + columns)
    for c in range(columns):
        logits[:, c, 2 + c] = float(columns - c)
    return logits


def test_each_step_keeps_its_share_of_the_most_confident_positions():
    policy = FixedPolicy(confident_left)
    canvas = torch.tensor([[5, *[MASK] * 10]])
    result = BlockwiseSampler(10, 5, 6)(policy, canvas, None, [0])
    filled = [(call != MASK).sum().item() - 1 for call in policy.calls]
    assert filled == [0, 2, 4, 5, 7, 9]  # 5 tokens in 3 steps: 2, 2, 1
    for call, count in zip(policy.calls, filled, strict=True):
        assert call[0].tolist() == [5, *range(3, 3 + count), *[MASK] * (10 - count)]
    assert result.tokens[0].tolist() == [5, *range(3, 13)]
    assert (result.forwards, result.row_forwards) == (6, 6)


def test_a_row_with_hints_spreads_its_remaining_positions_over_the_steps():
    policy = FixedPolicy(confident_left)
    canvas = torch.tensor([[5, 9, MASK, 9, 9, MASK, MASK], [5, 9, 9, MASK, 9, 9, 9], [5, *[9] * 6]])
    BlockwiseSampler(6, 6, 2)(policy, canvas, None, [0, 0, 0])
    assert [len(call) for call in policy.calls] == [2, 1]  # only rows that still have something to fill
    assert policy.calls[1][0].tolist() == [5, 9, 4, 9, 9, 7, MASK]  # two of three


def test_tokens_are_drawn_from_the_tempered_distribution():
    logits = torch.tensor([1.0, 9.0, 0.0, -1.0, 2.0, 0.5])  # the mask, id 1, must never come
    rows, width, temperature = 2000, 4, 0.7

    def draws(temperature):
        policy = FixedPolicy(lambda t: logits.expand(*t.shape, 6), eos_id=99)
        canvas = torch.full((rows, width + 1), MASK)
        canvas[:, 0] = 3
        tokens = BlockwiseSampler(width, width, 1, temperature)(policy, canvas, None, range(rows)).tokens
        return torch.bincount(tokens[:, 1:].flatten(), minlength=6).double()

    def chi_square(counts):
        p = (logits.masked_fill(torch.arange(6) == MASK, -torch.inf) / temperature).softmax(-1).double()
        expected = p[p > 0] * counts.sum()
        return float(((counts[p > 0] - expected) ** 2 / expected).sum())

    counts = draws(temperature)
    assert counts[MASK] == 0 and counts.sum() == rows * width
    assert chi_square(counts) < 23.5  # 4 degrees of freedom: exceeded by one draw in ten thousand
    assert chi_square(draws(1.0)) > 200  # the test can tell


def test_confidence_is_measured_at_temperature_one():
    """Hot draws choose the token, but the order of filling follows the model's own probability of it."""
    certain = torch.tensor([0.0, 0.0, 8.0, 0.0])
    unsure = torch.tensor([0.0, 0.0, 1.0, 0.0])
    policy = FixedPolicy(lambda t: torch.stack([certain, certain, unsure]).expand(len(t), 3, 4), eos_id=99)
    canvas = torch.tensor([[3, MASK, MASK]]).repeat(400, 1)
    BlockwiseSampler(2, 2, 2, temperature=3.0)(policy, canvas, None, range(400))
    second = policy.calls[1]
    drew_it = second[:, 1] == 2
    assert 50 < drew_it.sum() < 350
    assert (second[drew_it][:, 2] == MASK).all()  # p = 0.999 comes before anything the other can draw
    other = second[(second[:, 1] != MASK) & ~drew_it]
    assert len(other) == 0  # p = 0.0003 never does


def ends_in_first_block(tokens):
    """Rows whose prompt is 7 end at column 2; all others write 5 everywhere."""
    logits = torch.zeros(*tokens.shape, 10)
    logits[:, :, 5] = 3.0
    logits[tokens[:, 0] == 7, 2, EOS] = 9.0
    return logits


def test_rows_that_ended_are_called_no_more_and_filled_with_ends_around_their_hints():
    policy = FixedPolicy(ends_in_first_block)
    canvas = torch.tensor([[7, *[MASK] * 8], [6, *[MASK] * 8]])
    canvas[:, 6] = 9  # a hint in the second block
    result = BlockwiseSampler(8, 4, 4)(policy, canvas, None, [0, 1])
    assert result.tokens.tolist() == [[7, 5, EOS, 5, 5, EOS, 9, EOS, EOS], [6, 5, 5, 5, 5, 5, 9, 5, 5]]
    assert [len(call) for call in policy.calls] == [2, 2, 1, 1]
    assert (result.forwards, result.row_forwards) == (4, 6)
    assert all(int(row[0]) == 6 for call in policy.calls[2:] for row in call)


def test_other_processes_can_ask_for_further_calls():
    """A sharded policy gathers weights in every forward, so all processes must call it equally often."""
    asked = []

    def keep_going(mine):
        asked.append(mine)
        return True

    policy = FixedPolicy(ends_in_first_block)
    alone = BlockwiseSampler(8, 4, 4)(policy, torch.tensor([[7, *[MASK] * 8]]), None, [0])
    assert len(policy.calls) == 2
    policy.calls.clear()
    beside = BlockwiseSampler(8, 4, 4)(
        policy, torch.tensor([[7, *[MASK] * 8]]), None, [0], keep_going=keep_going
    )
    assert len(policy.calls) == 4 and asked == [True, True, False, False]
    assert torch.equal(alone.tokens, beside.tokens)
    assert beside.row_forwards == 2


def test_a_row_is_drawn_by_its_seed():
    policy = FixedPolicy(lambda t: torch.zeros(*t.shape, 50), eos_id=99)
    canvas = torch.tensor([[3, *[MASK] * 8]]).repeat(3, 1)
    tokens = BlockwiseSampler(8, 4, 4, 1.0)(policy, canvas, None, torch.tensor([11, 12, 11])).tokens
    assert torch.equal(tokens[0], tokens[2]) and not torch.equal(tokens[0], tokens[1])
    assert (canvas[:, 1:] == MASK).all()  # the given canvas stays as it was


def test_bad_schedules_and_canvases():
    with pytest.raises(ConfigError, match=r"sampler.block_length=3"):
        BlockwiseSampler(8, 3, 4)
    with pytest.raises(ConfigError, match=r"sampler.steps=3: must be a multiple of the 2 blocks"):
        BlockwiseSampler(8, 4, 3)
    with pytest.raises(ValueError, match=r"sampler.temperature"):
        BlockwiseSampler(8, 4, 4, temperature=-0.1)
    sampler = BlockwiseSampler(8, 4, 4, temperature=1.0)
    assert sampler.greedy().temperature == 0 and sampler.greedy().steps == 4
    policy = FixedPolicy(confident_left)
    with pytest.raises(ValueError, match="does not hold 8 columns"):
        sampler(policy, torch.full((1, 7), MASK), None, [0])
    with pytest.raises(ValueError, match="2 rows"):
        sampler(policy, torch.full((1, 9), MASK), None, [0, 1])
