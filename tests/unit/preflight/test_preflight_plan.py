"""Lengths of prompts, and counting tokens without a tokenizer."""

import itertools
import json

import pytest

from igpo_lightning.data.encoding import Encoder
from igpo_lightning.preflight.plan import Widths
from igpo_lightning.preflight.tokens import assumed_tokenizer
from igpo_lightning.types import Problem


def test_the_expected_width_of_a_padded_batch():
    widths = Widths((1, 2, 6))
    pairs = [max(pair) for pair in itertools.product((1, 2, 6), repeat=2)]
    assert widths.padded(2) == round(sum(pairs) / len(pairs))  # 4.1
    assert widths.padded(1) == 3 and widths.padded(1000) == 6
    assert widths.longest == 6


def test_tokens_are_counted_with_the_published_chat_template(tmp_path):
    published = {
        "chat_template": "{{ bos_token }}{% for m in messages %}<|a|>{{ m['content'] }}<|b|>{% endfor %}",
        "bos_token": "<|start|>",
        "added_tokens_decoder": {
            str(i): {"content": token} for i, token in enumerate(("<|start|>", "<|a|>", "<|b|>"), start=100)
        },
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(published))
    tokenizer = assumed_tokenizer(str(tmp_path))
    problem = Problem("x/1", "Add 12 and 3.", "it is 15 #### 15", "15")
    prompt = Encoder(tokenizer, mask_id=999).encode(problem)
    # start, a, "Add", " ", 1, 2, " and", " ", 3, ".", b
    assert len(prompt.ids) == 11


def test_without_any_tokenizer_file_prompts_end_in_a_separator(tmp_path):
    tokenizer = assumed_tokenizer(str(tmp_path))
    prompt = Encoder(tokenizer, mask_id=999).encode(Problem("x/1", "Add 12", "it is 12 #### 12", "12"))
    assert len(prompt.ids) == 5  # "Add", " ", 1, 2, separator


@pytest.mark.parametrize("name, field", [("gsm8k", "question")])
def test_the_assumption_is_near_a_real_tokenizer(real_data, name, field):
    from transformers import Qwen2Tokenizer

    folder = real_data("dream")
    real = Qwen2Tokenizer.from_pretrained(str(folder))
    assumed = assumed_tokenizer(str(folder))
    lines = (real_data(name) / "train.jsonl").read_text().splitlines()[:200]
    texts = [json.loads(line)[field] for line in lines]
    real_count, assumed_count = (
        sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids)
        for tokenizer in (real, assumed)
    )
    assert assumed_count == pytest.approx(real_count, rel=0.1)
