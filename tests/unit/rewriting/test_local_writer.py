"""The local writer with a Llama of a few thousand random weights."""

import asyncio

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting import Ask, Unanswered
from igpo_lightning.rewriting.local import LocalWriter, with_noise
from igpo_lightning.seeding import torch_rng

ASKS = [Ask(f"toy/{i}", 1, None, "Shorten. " * (1 + i)) for i in range(5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer) -> str:
    folder = tmp_path_factory.mktemp("writer")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=96, bos_token_id=None,
        eos_token_id=[tokenizer.eos_token_id, ord("e")], pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    rng = torch_rng("local writer")
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data = torch.randn(weight.shape, generator=rng)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def written(model, asks=ASKS, **options):
    writer = LocalWriter(model, **{"max_tokens": 12, "dtype": "float32", "device": "cpu", **options})
    writer.prepare()

    async def main():
        replies = await asyncio.gather(*map(writer.write, asks), return_exceptions=True)
        await writer.close()
        return replies

    return asyncio.run(main())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_replies_do_not_depend_on_the_batch(model, temperature):
    one = written(model, batch_size=1, temperature=temperature)
    assert written(model, batch_size=3, temperature=temperature) == one
    assert len({reply.text for reply in one}) > 1


def test_draws_are_of_the_seed_the_problem_and_the_attempt(model):
    first = written(model, temperature=5.0)
    assert written(model, temperature=5.0) == first
    assert written(model, temperature=5.0, seed=1) != first
    again = [Ask(ask.id, 2, None, ask.user) for ask in ASKS]
    assert written(model, again, temperature=5.0) != first


def test_the_global_generator_is_left_alone(model):
    before = torch.get_rng_state()
    written(model, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_how_it_ended_and_what_it_cost(model):
    asks = [Ask(f"toy/{i}", 1, None, "Shorten.") for i in range(12)]
    replies = written(model, asks, temperature=30.0, max_tokens=60)  # nearly any token, ends among them
    assert {reply.prompt_tokens for reply in replies} == {10}  # a character is a token, and two line breaks
    assert {reply.finish for reply in replies} == {"length", "stop"}
    for reply in replies:
        assert reply.completion_tokens == 60 if reply.finish == "length" else reply.completion_tokens <= 60
        assert "<|endoftext|>" not in reply.text


def test_a_request_beyond_the_context_is_refused_alone(model):
    long = Ask("toy/long", 1, None, "x" * 90)
    replies = written(model, [ASKS[0], long, ASKS[1]])
    assert isinstance(replies[1], Unanswered) and not replies[1].fatal
    assert "the request has 92 tokens" in str(replies[1]) and "context of 96" in str(replies[1])
    assert [replies[0], replies[2]] == written(model, ASKS[:2])


def test_noise_makes_the_largest_logit_a_draw():
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    rngs, scores = [torch_rng(seed) for seed in range(4000)], probabilities.log().expand(4000, 3)
    draws = with_noise(None, scores, rngs=rngs, temperature=1.0).argmax(-1)
    shares = torch.bincount(draws, minlength=3) / 4000
    assert torch.allclose(shares, probabilities, atol=0.03)
    assert (with_noise(None, scores, rngs=rngs, temperature=0.05).argmax(-1) == 0).all()


@pytest.mark.parametrize(("options", "said"), [
    ({"model": "/nowhere/at all"}, "rewriter.model=/nowhere/at all: no such folder"),
    ({"batch_size": 0}, "rewriter.batch_size=0"),
    ({"max_tokens": 0}, "rewriter.max_tokens=0"),
])  # fmt: skip
def test_values_that_cannot_be(model, options, said):
    with pytest.raises(ConfigError, match=said):
        LocalWriter(**{"model": model, **options})


def test_a_folder_that_holds_no_causal_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(ConfigError, match=r"rewriter\.model: cannot load"):
        LocalWriter(str(tmp_path)).prepare()
