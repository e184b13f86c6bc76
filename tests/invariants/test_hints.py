"""Hints stay where the trace has them, and never tell the answer."""

import re
from fractions import Fraction

import pytest
import torch
from fakes import FixedPolicy, engine, inpaint, source, tiny_policy

from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.tokenizers import train_bpe, word_level
from igpo_lightning.rollout import Chunks
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.sampling.canvas import attention_of, collate
from igpo_lightning.types import Problem

ENDINGS = ["#### {}", "The answer is: {}", "so it is $\\boxed{{{}}}$.", "The final answer is {}.", "= {}"]
STORY = "Natalia sold 48 clips and then 24, that is 48 + 24 = 72 in all, 72 clips, not 172 or 7.2 . "


def placed(policy, prompts, ratio, width, seeds=range(3)):
    """Canvases with hints of every prompt: (prompt tensors, canvas [B, C], is_hint [B, C])."""
    place = Chunks(chunk=(1, 3)).place
    rows = [place(p.hint, width, ratio, seed, policy.mask_id) for p in prompts for seed in seeds]
    tensors = collate([p for p in prompts for _ in seeds], policy.pad_id)
    return tensors, torch.stack([c for c, _ in rows]), torch.stack([h for _, h in rows])


@pytest.mark.parametrize("ratio", [0.3, 1.0])
@pytest.mark.parametrize("trace", ["concise", "verbose"])
def test_hints_of_the_embedded_problems_neither_move_nor_change_nor_tell_the_answer(trace, ratio):
    policy = tiny_policy()
    problems = source(train_size=60, trace=trace).train
    encoder = Encoder(policy.tokenizer, max_response=64)
    prompts = list(encoder.encode_all(problems).prompts)
    tensors, canvas, is_hint = placed(policy, prompts, ratio, width=64)
    sampler = BlockwiseSampler(64, 16, 8, temperature=1.0)
    full = torch.cat([tensors.ids, canvas], dim=1)
    samples = sampler(policy, full, attention_of(tensors.mask, 64), list(range(len(full))))
    completions = samples.tokens[:, -64:]
    assert torch.equal(samples.tokens[:, :-64], tensors.ids)
    assert torch.equal(completions[is_hint], canvas[is_hint])
    assert (completions != policy.mask_id).all()
    for row, (hints, prompt) in enumerate(zip(is_hint, (p for p in prompts for _ in range(3)), strict=True)):
        columns = torch.nonzero(hints)[:, 0].tolist()
        assert all(int(canvas[row, c]) == prompt.response[c] for c in columns)  # index for index
        assert prompt.problem.answer not in policy.tokenizer.decode(canvas[row][hints]).split()
    assert is_hint.any(1).float().mean() > (0.9 if ratio == 1 else 0.2)


@pytest.mark.parametrize("tokenizer", ["words", "bpe"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("answer", ["72", "1,000", "-3.5"])
def test_hints_of_real_endings_hold_no_answer_token(ending, answer, tokenizer):
    said = STORY.replace("72", answer) if answer != "72" else STORY
    trace = said + ending.format(answer)
    tok = word_level(sorted(set(trace.split()))) if tokenizer == "words" else train_bpe([trace] * 3, 300)
    prompt = Encoder(tok).encode(Problem("t/0", "How many ?", trace, answer))
    policy = FixedPolicy(
        lambda t: torch.zeros(*t.shape, len(tok)), mask_id=tok.mask_token_id, eos_id=tok.eos_token_id
    )
    width = -(-len(prompt.response) // 8) * 8
    tensors, canvas, is_hint = placed(policy, [prompt], 1.0, width, seeds=[0])
    text = tok.decode(torch.where(is_hint, canvas, tok.eos_token_id)[0], skip_special_tokens=False)
    value = abs(Fraction(answer.replace(",", "")))
    numbers = re.findall(r"(?<![\d.])\d[\d,]*(?:\.\d+)?", text)
    assert all(Fraction(n.replace(",", "")) != value for n in numbers), text
    for lead in ("####", "answer is", "\\boxed"):
        assert lead not in text
    assert "Natalia" in text and "48" in text  # hints there are
    full = torch.cat([tensors.ids, canvas], dim=1)
    tokens = BlockwiseSampler(width, 8, width // 8)(policy, full, None, [0]).tokens
    assert torch.equal(tokens[:, -width:][is_hint], canvas[is_hint])


def test_hints_in_a_window_are_tokens_of_the_trace_at_their_own_index():
    policy = tiny_policy()
    prompts = list(Encoder(policy.tokenizer, max_response=16).encode_all(source().train).prompts)
    batch = engine(inpaint=inpaint(ratio=(0.5, 1.0))).run(policy, prompts, 0)
    assert 0 < batch.hint_mask.any(-1).sum() <= batch.metrics["replaced"]  # of few chunks, none may be chosen
    for p, g, c in torch.nonzero(batch.hint_mask).tolist():
        token = int(batch.tokens[p, g, c])
        assert token == prompts[p].response[c] == prompts[p].hint[c] != policy.mask_id
