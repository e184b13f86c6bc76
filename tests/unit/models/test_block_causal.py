"""Block-causal attention, and the cache that only grows, on a toy."""

import pytest
import torch
from fakes import rollout_fit, sft_fit, tiny_policy, trainer

from igpo_lightning.algos.logprobs import Replay
from igpo_lightning.checks import ConfigError
from igpo_lightning.models.attention import BlockCausal
from igpo_lightning.models.block_session import BlockSession
from igpo_lightning.models.session import Session
from igpo_lightning.rollout import inpaint
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.seeding import torch_rng

BLOCK, WIDTH = 4, 12


def toy(**changes):
    return tiny_policy(layers=2, heads=2, block_size=BLOCK, **changes)


def canvases(policy, prompts=(3, 6, 8), hints=True):
    """Left-padded prompts, then empty columns, a few of which are hints."""
    rng, q = torch_rng(1, "canvases"), max(prompts)
    ids = torch.randint(4, 20, (len(prompts), q + WIDTH), generator=rng)
    attention = torch.arange(q + WIDTH).expand_as(ids) >= torch.tensor([q - n for n in prompts])[:, None]
    given = torch.rand(ids.shape, generator=rng) < (0.2 if hints else 0)
    empty = (torch.arange(q + WIDTH) >= q) & ~given
    return ids.masked_fill(empty, policy.mask_id), attention


def test_the_mask_by_hand():
    """Seven columns in blocks of three, from the right: {0}, {1 2 3}, {4 5 6}; column 0 is padding."""
    attention = torch.tensor([[False, True, True, True, True, True, True]])
    found = BlockCausal(3).mask(attention, 7, torch.device("cpu"))[0, 0].int()
    assert found.tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        *[[0, 1, 1, 1, 0, 0, 0]] * 3,
        *[[0, 1, 1, 1, 1, 1, 1]] * 3,
    ]
    some = BlockCausal(3).mask(attention, 7, torch.device("cpu"), torch.tensor([1, 6]))
    assert torch.equal(some[0, 0].int(), found[[1, 6]])
    plain = BlockCausal(3).mask(None, 7, torch.device("cpu"))
    assert plain.shape == (1, 1, 7, 7) and plain[0, 0, 1, 0] and not plain[0, 0, 0, 1]


@torch.no_grad()
def test_logits_are_those_of_blocks_recomputed_alone():
    """An independent way: cut the canvas after a block, and let all of what is left see all that it may."""
    policy = toy()
    tokens = torch.randint(4, 20, (2, 3 * BLOCK), generator=torch_rng(0, "tokens"))
    whole = policy(tokens)
    for stop in (BLOCK, 2 * BLOCK, 3 * BLOCK):
        torch.testing.assert_close(policy(tokens[:, :stop]), whole[:, :stop], atol=1e-5, rtol=1e-5)
    plain = tiny_policy(layers=2, heads=2)  # the first block sees nothing else: bidirectional
    torch.testing.assert_close(plain(tokens[:, :BLOCK]), whole[:, :BLOCK], atol=1e-5, rtol=1e-5)
    assert (plain(tokens) - whole)[:, :BLOCK].abs().max() > 1e-2


@torch.no_grad()
def test_padding_changes_nothing():
    policy = toy()
    tokens = torch.randint(4, 20, (1, 10), generator=torch_rng(0, "padded"))
    padded = torch.cat([torch.full((1, 5), policy.pad_id), tokens], 1)
    attention = torch.arange(15)[None] >= 5
    found = policy(padded, attention)[:, 5:]
    assert found.isfinite().all()
    torch.testing.assert_close(found, policy(tokens), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("hints", [False, True])
def test_the_cache_gives_what_a_plain_recomputation_gives(hints):
    policy = toy()
    canvas, attention = canvases(policy, hints=hints)
    plain, kept = Session(policy, canvas, attention), BlockSession(policy, canvas, attention)
    left, rng, worst = canvas.shape[1] - WIDTH, torch_rng(2, "fill"), 0.0
    rows = torch.arange(len(canvas))
    for start in range(left, canvas.shape[1], BLOCK):
        plain.open(start, BLOCK)
        kept.open(start, BLOCK)
        while plain.masked(rows).any():
            some = rows[plain.masked(rows).any(-1)]
            at = plain.masked(some)
            a, b = plain.logits(some, at), kept.logits(some, at)
            worst = max(worst, float((a - b)[a.isfinite()].abs().max()))
            ids = torch.randint(4, 20, at.shape, generator=rng)
            first = at & (at.cumsum(-1) == 1)
            plain.commit(some, first, ids, 0)
            kept.commit(some, first, ids, 0)
        if start == left + BLOCK:  # a row ends, and leaves
            for session in (plain, kept):
                session.fill_rest(rows[:1], 0)
            rows = rows[1:]
    assert worst < 2e-5 and torch.equal(plain.canvas, kept.canvas)
    assert len(kept._rows) == 2  # the third is no longer computed
    assert kept.token_forwards < 0.6 * plain.token_forwards


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sampler_writes_the_same(temperature):
    policy = toy()
    canvas, attention = canvases(policy)
    samplers = [
        BlockwiseSampler(WIDTH, BLOCK, WIDTH // 2, temperature=temperature, cache=cache)
        for cache in ("none", "blocks")
    ]
    plain, kept = (sampler(policy, canvas, attention, [1, 2, 3]) for sampler in samplers)
    assert torch.equal(plain.tokens, kept.tokens) and torch.equal(plain.step_map, kept.step_map)
    assert kept.token_forwards < plain.token_forwards and not samplers[1].approximate
    bidirectional = tiny_policy()
    a, b = (sampler(bidirectional, canvas, attention, [1, 2, 3]) for sampler in samplers)
    assert torch.equal(a.tokens, b.tokens) and a.token_forwards == b.token_forwards


@pytest.mark.parametrize(("options", "named"), [
    ({"block_length": 6, "steps": 4}, r"sampler\.block_length=6"),
    ({"block_length": 2, "steps": 6, "cache": "blocks"}, r"sampler\.block_length=2"),
    ({"length": 10, "block_length": 2, "steps": 5}, r"sampler\.length=10"),
    ({"cache": "dual"}, r"take sampler\.cache=blocks"),
])  # fmt: skip
def test_what_does_not_fit_the_blocks_is_refused(options, named):
    policy = toy()
    canvas, attention = canvases(policy)
    sampler = BlockwiseSampler(**{"length": WIDTH, "block_length": BLOCK, "steps": WIDTH, **options})
    with pytest.raises(ConfigError, match=named):
        sampler(policy, canvas, attention, [1, 2, 3])


def test_supervised_fine_tuning_and_other_estimators_are_refused():
    with pytest.raises(ConfigError, match="algo=sft: hides tokens of all blocks"):
        sft_fit(toy())
    with pytest.raises(ConfigError, match="MeanField hides tokens before the present block of 4"):
        rollout_fit(toy())


def test_it_is_trained_with_hints_by_replay(tmp_path):
    """IGPO on a block-causal policy: the replayed law is the sampler's, so the first ratio is 1."""
    module, data = rollout_fit(
        toy(), rollouts=2, logprobs=Replay(8), inpaint=inpaint(chunk=(1, 2)),
        sampler=BlockwiseSampler(16, BLOCK, 8, temperature=1.0, cache="blocks"),
    )  # fmt: skip
    before = [p.detach().clone() for p in module.parameters()]
    fit = trainer(tmp_path)
    fit.fit(module, datamodule=data)
    assert fit.callback_metrics["rollout/drift_max"] == 0
    assert any((a != b).any() for a, b in zip(before, module.parameters(), strict=True))
    assert data.rollout.metrics["resampled"] > 0


@torch.no_grad()
def test_blocks_are_kept_by_a_save(tmp_path):
    from igpo_lightning.models import load_policy

    policy = toy()
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"))
    tokens = torch.randint(4, 20, (2, 9), generator=torch_rng(0, "saved"))
    assert again.attention.block == BLOCK and torch.equal(again(tokens), policy(tokens))
