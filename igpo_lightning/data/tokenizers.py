"""Tokenizers for models trained from scratch. Both are ordinary Hugging Face tokenizer folders once saved.

Both are lossless on what they are made for: ``decode(encode(text)) == text`` for any text (BPE), or for
texts of known words joined by single spaces (word level).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import Source

EOS = "<|endoftext|>"  # ends a completion, and pads
MASK = "<|mask|>"
SEP = "<|sep|>"  # between prompt and completion where there is no chat template
UNKNOWN = "<|unk|>"
SPECIAL = (EOS, MASK, SEP)

_BYTES = 256


@dataclass(frozen=True)
class WordLevel:
    """Factory: one token per space-separated word of the source's vocabulary."""

    def __call__(self, source: Source) -> PreTrainedTokenizerFast:
        return word_level(source.vocabulary())


@dataclass(frozen=True)
class BPE:
    """Factory: byte-level BPE of ``vocab_size`` tokens trained on the source's corpus."""

    vocab_size: int = 2048

    def __call__(self, source: Source) -> PreTrainedTokenizerFast:
        return train_bpe(source.corpus(), self.vocab_size)


def word_level(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, in the given order, and an unknown-word token.

    Raises:
        ConfigError: A word is empty or contains whitespace, so it could never be matched.
    """
    vocab = {token: i for i, token in enumerate((*SPECIAL, UNKNOWN))}
    for word in words:
        if not word or word.split() != [word]:
            raise ConfigError(f"word-level vocabulary: {word!r} is not a single word without spaces")
        vocab.setdefault(word, len(vocab))
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return _as_hf(tokenizer, unk_token=UNKNOWN)


def train_bpe(corpus: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that keeps every digit a token of its own.

    Raises:
        ConfigError: ``vocab_size`` leaves no room for all bytes and the special tokens.
    """
    least = _BYTES + len(SPECIAL)
    if vocab_size < least:
        raise ConfigError(
            f"data.tokenizer.vocab_size: at least {least} (all bytes and special tokens), got {vocab_size}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return _as_hf(tokenizer)


def _as_hf(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=EOS,
        mask_token=MASK,
        additional_special_tokens=[SEP],
        clean_up_tokenization_spaces=False,
        padding_side="left",
        **special,
    )
