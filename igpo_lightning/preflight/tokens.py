"""A stand-in for a tokenizer that is not at hand: it only has to count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from ..data.tokenizers import SEP

# A digit, up to eight letters with the space before them, a run of spaces, or one or two other signs.
# On GSM8K and MATH this gives 1 % (questions) to 14 % (solutions) more tokens than Dream's tokenizer.
_PIECES = r"\d| ?[^\W\d_]{1,8}|\s+|[^\w\s]{1,2}|_"
ASSUMPTION = "a token for every digit, 8 letters or 2 other signs"


def assumed_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """A tokenizer of about the usual piece lengths, with the chat template and special tokens of ``path``.

    Args:
        path: Model folder or hub id; of its tokenizer it needs tokenizer_config.json, if that.
    """
    found = cached_file(path, "tokenizer_config.json", _raise_exceptions_for_missing_entries=False)
    published = {} if found is None else json.loads(Path(found).read_text(encoding="utf-8"))
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    template, bos = published.get("chat_template"), published.get("bos_token")
    special = [token["content"] for token in published.get("added_tokens_decoder", {}).values()]
    result = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos["content"] if isinstance(bos, Mapping) else bos,
        additional_special_tokens=special if template else [*special, SEP],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    result.chat_template = template
    return result
