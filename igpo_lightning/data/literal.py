"""Tokenizes text literally: the name of a special token in a problem stays text.

A fast tokenizer reads "<|endoftext|>" as the real token wherever it stands, so a row of a public table could
end its own target, or forge the turns of a chat. Only the chat template may write special tokens. Where a
tokenizer has no pieces to spell a name with (one token per word), the name is an unknown word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.mentions import Span

Tokens = tuple[tuple[int, ...], list[Span]]
"""Token ids, and the characters that each one covers."""

_PRIVATE = range(0xE000, 0xF8FF)  # code points that no text should hold


def literal_tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Tokens]:
    """Each text's tokens, special ones spelled out; nothing is added.

    Raises:
        ConfigError: The tokenizer knows no character offsets, or has no way to write such a name.
    """
    encoded = _encoded(texts, tokenizer, offsets=True)
    return [
        (tuple(ids), [(begin, end) for begin, end in offsets])
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def literal_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, ...]]:
    """The ids of :func:`literal_tokens` alone; raises as that."""
    return [tuple(ids) for ids in _encoded(texts, tokenizer, offsets=False)["input_ids"]]


def _encoded(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, offsets: bool) -> Any:
    if not tokenizer.is_fast:
        raise ConfigError(
            "data.tokenizer: a fast tokenizer is needed (one with tokenizer.json), for hints are cut by "
            "character offsets"
        )
    if not texts:  # of which a tokenizer makes an error
        return {"input_ids": [], "offset_mapping": []}
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=offsets,
        verbose=False,
    )
    special = _special(tokenizer)
    encoded["input_ids"] = [
        ids if special.isdisjoint(ids) else [_unknown(tokenizer, i) if i in special else i for i in ids]
        for ids in encoded["input_ids"]
    ]
    return encoded


def _special(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that no text may have: those of the special tokens, but for the unknown word."""
    unknown: Any = tokenizer.unk_token_id  # declared as whatever transformers may have
    return {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} - {unknown}


def _unknown(tokenizer: PreTrainedTokenizerBase, special: int) -> int:
    unknown: Any = tokenizer.unk_token_id
    if unknown is None:
        name = tokenizer.convert_ids_to_tokens(special)
        raise ConfigError(
            f"data.tokenizer: {name!r} in a text is the special token itself, as the tokenizer has no "
            "smaller pieces; give it an unk_token"
        )
    return unknown


class PromptTokens:
    """Token ids of prompts whose template may hold special tokens, and whose text may not.

    Text without special tokens is tokenized together with its template, as anybody would. The names of
    special tokens in a text are taken out before the template is filled in, and spelled out in their places.

    Args:
        tokenizer: Fast.
        fill: A text as the model reads it, with its template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, fill: Callable[[str], str]) -> None:
        self.tokenizer, self.fill = tokenizer, fill
        names = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        by_length = sorted((re.escape(name) for name in names if name), key=len, reverse=True)
        self._names = re.compile("|".join(by_length) or r"(?!)")

    def __call__(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each text in its template."""
        odd = {i for i, text in enumerate(texts) if self._names.search(text)}
        plain = [self.fill(text) for i, text in enumerate(texts) if i not in odd]
        made = iter(self._real(plain))
        return [self._spelled(text) if i in odd else next(made) for i, text in enumerate(texts)]

    def _real(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if not texts:
            return []
        return [
            tuple(ids)
            for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False).input_ids
        ]

    def _spelled(self, text: str) -> tuple[int, ...]:
        mark = next(chr(code) for code in _PRIVATE if chr(code) not in text)
        names = self._names.findall(text)
        around = self.fill(self._names.sub(mark, text)).split(mark)
        if len(around) % len(names) != 1 % len(names):  # a template that repeats the text repeats its names
            raise ConfigError("model.path: its chat template changes the text of a prompt")
        ids: list[int] = list(self._real([around[0]])[0])
        for i, piece in enumerate(around[1:]):
            ids += literal_ids([names[i % len(names)]], self.tokenizer)[0]
            ids += self._real([piece])[0] if piece else ()
        return tuple(ids)
