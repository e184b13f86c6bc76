import pytest
import torch
from fakes import encoded, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.models.cached_session import CachedSession
from igpo_lightning.models.kv_cache import CanvasCache, bytes_per_column, cache_argument
from igpo_lightning.models.session import Session
from igpo_lightning.sampling import BlockwiseSampler, Threshold
from igpo_lightning.sampling.canvas import attention_of, collate
from igpo_lightning.seeding import torch_rng

WIDTH = 12


@pytest.fixture(params=["one length", "ragged"])
def canvas(request):
    policy = tiny_policy(seed=3)
    with torch.no_grad():  # so that some columns are sure, and some rows end early
        policy.model.lm_head.weight *= 8
        policy.model.lm_head.weight[policy.eos_id] = policy.model.lm_head.weight[[30, 64]].mean(0)
    tensors = collate(encoded(policy, 8), policy.pad_id)
    ids, mask = tensors.ids, tensors.mask
    if request.param == "one length":
        ids, mask = ids[:, -4:].clone(), torch.ones(8, 4, dtype=torch.bool)
    else:
        assert not mask.all()
    empty = torch.full((8, WIDTH), policy.mask_id)
    empty[2, 5] = empty[3, 0] = 20  # hints
    return policy, torch.cat([ids, empty], dim=1), attention_of(mask, WIDTH)


def sample(setup, **options):
    policy, ids, attention = setup
    options = {"temperature": 1.0, **options}
    return BlockwiseSampler(WIDTH, 4, 12, **options)(policy, ids, attention, range(len(ids)))


@pytest.mark.parametrize("shifted", [False, True], ids=["LLaDA", "Dream"])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_cache_refreshed_at_every_step_is_exact(canvas, cache, shifted):
    canvas[0].shifted = shifted
    exact, cached = sample(canvas), sample(canvas, cache=cache, refresh_every=1)
    assert torch.equal(exact.tokens, cached.tokens) and torch.equal(exact.step_map, cached.step_map)
    assert shifted or (exact.tokens[:, -WIDTH:] == canvas[0].eos_id).any()


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize("every", [None, 2])
def test_a_cached_call_is_attention_over_old_keys(canvas, cache, every):
    """Against a plain loop: keys and values of the last whole pass, but for the columns that run."""
    policy, ids, attention = canvas
    session = CachedSession(policy, ids, attention, cache=cache, refresh_every=every)
    rows, columns = torch.arange(8), slice(ids.shape[1] - 8, ids.shape[1] - 4)
    session.open(columns.start, 4)
    old = ids.clone()
    with torch.no_grad():
        for call in range(4):
            if every and call % every == 0:
                old = session.canvas.clone()
            at = session.masked(rows)
            got = session.logits(rows, at)
            expected = stale_logits(policy, old, session.canvas, attention, columns, cache)
            assert torch.allclose(got, expected[at].masked_fill(torch.isinf(got), -torch.inf), atol=1e-5)
            at[:, call % 4 + 1 :] = False
            session.commit(rows, at, torch.full((8, 4), 9 + call), call)


def stale_logits(policy, old, new, attention, columns, cache):
    """[B, 4, V]: keys and values of ``old`` where columns do not run, of ``new`` where they do."""
    run = slice(columns.start, new.shape[1] if cache == "prefix" else columns.stop)
    network, length = policy.network.model, new.shape[1]
    real = torch.ones(1, length, dtype=torch.bool) if attention is None else attention
    positions = (real.long().cumsum(-1) - 1).clamp(min=0)
    mask = None if attention is None else attention[:, None, None]
    before, now = network.embed_tokens(old), network.embed_tokens(new[:, run])
    angles = network.rotary_emb(before, positions)
    some = tuple(part[:, run] for part in angles)
    for layer in network.layers:
        kept = Keeper(run)
        before = layer(before, attention_mask=mask, position_embeddings=angles, past_key_values=kept)
        kept.replay = True
        now = layer(now, attention_mask=mask, position_embeddings=some, past_key_values=kept)
    return policy.network.lm_head(network.norm(now))[:, :4]


class Keeper:
    """Remembers one layer's keys and values, then puts newer ones into their columns."""

    def __init__(self, run):
        self.run, self.replay = run, False

    def update(self, keys, values, layer):
        if not self.replay:
            self.old = keys, values
            return keys, values
        both = [old.clone() for old in self.old]
        both[0][:, :, self.run], both[1][:, :, self.run] = keys, values
        return tuple(both)


def test_rows_do_not_depend_on_their_batch_with_a_cache(canvas):
    policy, ids, attention = canvas
    options = {"acceptance": Threshold(0.3), "cache": "dual", "temperature": 0.0}
    together = sample(canvas, **options)
    assert together.step_map.max() < 12  # several tokens a step
    for row in range(8):
        one = slice(row, row + 1)
        alone = sample((policy, ids[one], None if attention is None else attention[one]), **options)
        assert torch.equal(alone.tokens[0], together.tokens[row])
        assert torch.equal(alone.step_map[0], together.step_map[row])


def test_a_dual_cache_runs_the_block_alone(canvas):
    policy, ids, attention = canvas
    whole, dual, prefix = (session_cost(policy, ids, attention, cache) for cache in (None, "dual", "prefix"))
    assert whole == 8 * ids.shape[1] * 4
    assert dual == 8 * (ids.shape[1] + 3 * 4)
    assert prefix == 8 * (ids.shape[1] + 3 * WIDTH)


def session_cost(policy, ids, attention, cache):
    session = CachedSession(policy, ids, attention, cache=cache) if cache else Session(policy, ids, attention)
    session.open(ids.shape[1] - WIDTH, 4)
    rows = torch.arange(len(ids))
    with torch.no_grad():
        for _ in range(4):
            session.logits(rows, session.masked(rows))
    return session.token_forwards


def test_rows_that_are_done_leave_the_cache(canvas):
    policy, ids, attention = canvas
    session = CachedSession(policy, ids, attention, cache="dual")
    session.open(ids.shape[1] - WIDTH, 4)
    with torch.no_grad():
        for rows in ([*range(8)], [0, 1, 2, 4, 5, 6, 7], [2, 5, 7], [5]):
            kept = torch.tensor(rows)
            alone = session.logits(kept, session.masked(kept))
            assert len(alone) == session.masked(kept).sum()
            expected = 8 if len(rows) > 6 else len(rows)  # one fewer is not worth a copy
            assert len(session._cache.keys[0]) == expected


def test_checkpointing_and_lora_do_not_drop_the_cache(tmp_path, canvas):
    policy, ids, attention = canvas
    policy.save(tmp_path)
    lora = {"rank": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}
    trained = load_policy(str(tmp_path), gradient_checkpointing=True, lora=lora).train()
    for name, weight in trained.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(generator=torch_rng(name))
    setup = trained, ids, attention
    exact, cached = sample(setup), sample(setup, cache="dual", refresh_every=1)
    assert torch.equal(exact.tokens, cached.tokens)
    assert not torch.equal(exact.tokens, sample(canvas).tokens)
    assert trained.training and sample(setup, cache="dual").row_forwards > 0


def test_sharded_weights_refuse_a_cache(canvas):
    policy = canvas[0]
    next(policy.parameters()).ds_id = 0  # ZeRO-3's mark
    with pytest.raises(
        ConfigError, match=r"sampler\.cache=dual: not with weights that ZeRO-3 or FSDP shards"
    ):
        sample(canvas, cache="dual")


def test_bytes_of_a_column():
    config = tiny_policy().network.config
    cache = CanvasCache(config.num_hidden_layers, 5)
    head = config.hidden_size // config.num_attention_heads
    states = torch.zeros(1, config.num_key_value_heads, 5, head)
    cache.renew_all()
    for layer in range(config.num_hidden_layers):
        cache.update(states, states, layer)
    held = sum(t.numel() * t.itemsize for t in [*cache.keys, *cache.values])
    assert held == 5 * bytes_per_column(config, torch.float32)


def test_a_fast_sampler_takes_fewer_calls_and_says_when_each_token_came(canvas):
    fast = sample(canvas, acceptance=Threshold(0.5), cache="dual")
    slow = sample(canvas)
    assert fast.row_forwards < slow.row_forwards
    drawn = fast.step_map[:, -WIDTH:]
    given = canvas[1][:, -WIDTH:] != canvas[0].mask_id
    assert (drawn[given] == -1).all() and (drawn < 12).all()


def test_a_cache_goes_under_the_name_that_the_network_has_for_it():
    class Former:
        def forward(self, input_ids, past_key_values=None): ...

    class Later:
        def forward(self, input_ids, cache=None, **kwargs): ...

    assert cache_argument(Former) == "past_key_values" and cache_argument(Later) == "cache"
