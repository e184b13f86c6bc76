import math

import pytest
import torch
from torch import nn

from igpo_lightning.models import head as module
from igpo_lightning.models.head import chunked_scores, token_scores

VOCAB = 50


def head():
    return nn.Linear(8, VOCAB, bias=False)


def test_scores_by_hand():
    """p = (1/2, 1/4, 1/4): H = 1.5 log 2."""
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log() + 3
    scores = token_scores(logits, torch.tensor([[0, 2]]), entropy=True)
    assert scores.logps[0].tolist() == pytest.approx([-math.log(2), -math.log(4)])
    assert scores.entropy.tolist() == pytest.approx([1.5 * math.log(2)])
    assert scores.top.tolist() == [0]
    one = token_scores(logits, torch.tensor([1]))
    assert one.entropy is None and one.logps.tolist() == pytest.approx([-math.log(4)])


def test_the_softmax_is_in_float32():
    logits = torch.randn(3, VOCAB, generator=torch.Generator().manual_seed(0)).bfloat16()
    scores = token_scores(logits, torch.zeros(3, dtype=torch.long), entropy=True)
    assert scores.logps.dtype == scores.entropy.dtype == torch.float32
    torch.testing.assert_close(scores.logps, logits.float().log_softmax(-1)[:, 0])


@pytest.mark.parametrize("positions", [0, 1, 7, 37])
@pytest.mark.parametrize("frozen", [True, False])
def test_chunks_change_neither_scores_nor_gradients(positions, frozen):
    rng = torch.Generator().manual_seed(0)
    out = head().requires_grad_(not frozen)
    nn.init.normal_(out.weight, generator=rng)
    hidden = torch.randn(positions, 8, generator=rng).requires_grad_()
    targets = torch.randint(VOCAB, (positions, 3), generator=rng)
    wanted = [hidden] if frozen else [hidden, out.weight]
    results = []
    for most in (10**9, 10 * VOCAB, 3 * VOCAB, 1):
        scores = chunked_scores(out, hidden, targets, entropy=True, chunk_logits=most)
        assert not scores.entropy.requires_grad  # or each chunk's softmax would be kept until the last one
        grads = torch.autograd.grad((scores.logps**2).sum(), wanted)
        results.append((scores.logps, scores.entropy, scores.top, *grads))
    whole = token_scores(out(hidden), targets, entropy=True)
    expected = (whole.logps, whole.entropy, whole.top)
    expected += torch.autograd.grad((whole.logps**2).sum(), wanted)
    for result in results:
        for part, other in zip(result, expected, strict=True):
            torch.testing.assert_close(part, other, atol=1e-5, rtol=1e-5)


def test_no_call_sees_more_than_a_chunk_and_a_small_vocabulary_is_one_chunk():
    out, seen = head(), []
    out.register_forward_hook(lambda module, inputs, output: seen.append(output.numel()))
    hidden = torch.randn(37, 8, requires_grad=True)
    chunked_scores(out, hidden, torch.zeros(37, dtype=torch.long)).logps.sum().backward()
    assert seen == [37 * VOCAB]  # computed once, kept for the backward pass
    seen.clear()
    scores = chunked_scores(out, hidden, torch.zeros(37, dtype=torch.long), chunk_logits=10 * VOCAB)
    assert len(seen) == 4 and max(seen) <= 10 * VOCAB
    scores.logps.sum().backward()
    assert len(seen) == 8  # computed again, chunk by chunk


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_vocabulary():
    def kept(vocab):
        sizes = []
        out = nn.Linear(8, vocab, bias=False).requires_grad_(False)
        hidden = torch.randn(64, 8, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            chunked_scores(out, hidden, torch.zeros(64, dtype=torch.long), True, chunk_logits=8 * vocab)
        return sum(sizes)

    assert kept(4000) == kept(400)


def test_processes_agree_on_the_number_of_chunks_of_a_sharded_head(monkeypatch):
    from igpo_lightning import distributed

    out, asked = head(), []
    out.weight.ds_id = 0  # what DeepSpeed ZeRO-3 marks a parameter with
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda t, op: asked.append(int(t)) or t.fill_(5))
    calls = []
    out.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    targets = torch.zeros(3, dtype=torch.long)
    scores = chunked_scores(out, torch.randn(3, 8), targets, chunk_logits=2 * VOCAB)
    assert asked == [2] and len(calls) == 5 and sum(calls) == 3
    assert scores.logps.shape == (3,)


@pytest.mark.parametrize("gib, logits", [
    (0.5, 2**23), (4, 2**24), (16, 2**26), (63, 2**27), (64, 2**28), (140, 2**28), (math.inf, 2**28),
])  # fmt: skip
def test_a_chunk_takes_a_sixteenth_of_what_is_free(gib, logits):
    """16 bytes a logit: 64 GiB / 16 / 16 = 2^28; rounded down to a power of 2, within bounds."""
    assert module.chunk_of(gib * 2**30) == logits


def test_the_room_on_a_gpu_is_found_once(monkeypatch):
    module.room.cache_clear()
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (6 * 2**30, 0))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 11 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**30)  # so 10 GiB of it can be had
    gpu = torch.device("cuda", 0)
    assert module.room(gpu) == 2**26
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: pytest.fail("asked again"))
    assert module.room(gpu) == 2**26 and asked == [gpu]
    assert module.room(torch.device("cpu")) == module.CHUNK_LOGITS == 2**25
    module.room.cache_clear()
