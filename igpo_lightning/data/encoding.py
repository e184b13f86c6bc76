"""Problems as token ids: prompt, gold response, and the hint cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import tokenizers
from transformers import PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.cache import EncodingCache, Outcome, code_of, collect, digest
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.data.responses import Response
from igpo_lightning.data.tokenizers import SEP
from igpo_lightning.data.traces import (
    AnswerNotFound,
    FinalAnswer,
    Span,
    answer_spans,
    mask_answer,
    tokenize,
)
from igpo_lightning.rewards.answers import statements
from igpo_lightning.types import Problem, Prompt

OnBad = Literal["error", "drop"]

LONG_PROMPT = "prompt too long"
LONG_TRACE = "trace too long"
NO_ANSWER = "answer not at the end of the trace"

CACHED_ROWS = 2000
"""Fewer rows are encoded in less time than it takes to tell whether they are in the cache."""

_CHUNK = 1024


@dataclass(frozen=True)
class EncodeReport:
    """What became of a sequence of problems.

    Attributes:
        prompts: The encoded ones, in the given order.
        dropped: How many were left out, by reason.
    """

    prompts: Sequence[Prompt]
    dropped: Mapping[str, int] = field(default_factory=dict)


class _TooLong(ConfigError):
    """A row that ``on_long`` decides about."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Encoder:
    """Turns problems into token ids for one tokenizer and one canvas.

    The prompt goes through the tokenizer's chat template; without one it is the text followed by the
    separator token.

    Args:
        tokenizer: A fast tokenizer.
        prompt: The words around the question, by default none, and the layout of the response.
        max_prompt: Most tokens of a prompt; null for no limit.
        max_response: Canvas width C, which must hold the response and one end-of-sequence token; null
            for no limit.
        on_long: What to do with a problem that exceeds a limit: raise an "error", or "drop" it.
        on_missing_answer: Likewise if its trace does not end in its answer.
        hints: False leaves ``Prompt.hint`` empty and needs no answer in the trace.
        mask_id: Mask token id; by default the tokenizer's.
        cache_dir: Folder where the encodings of many rows are kept; null for none.

    Raises:
        ConfigError: The tokenizer lacks a mask token, or has no chat template and no separator.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt: PromptFormat | None = None,
        max_prompt: int | None = None,
        max_response: int | None = None,
        on_long: OnBad = "error",
        on_missing_answer: OnBad = "error",
        hints: bool = True,
        mask_id: int | None = None,
        cache_dir: str | None = None,
    ) -> None:
        for key, value in (("on_long", on_long), ("on_missing_answer", on_missing_answer)):
            if value not in ("error", "drop"):
                raise ConfigError(f"data.{key}={value}: expected error or drop")
        self.tokenizer, self.prompt, self.hints = tokenizer, prompt or PLAIN, hints
        self.max_prompt, self.max_response = max_prompt, max_response
        self.on_long, self.on_missing_answer = on_long, on_missing_answer
        self.cache = EncodingCache(cache_dir) if cache_dir else None
        self.mask_id = tokenizer.mask_token_id if mask_id is None else mask_id
        if self.mask_id is None:
            raise ConfigError(
                "data.tokenizer: it has no mask token; set mask_token in its tokenizer_config.json"
            )
        if not tokenizer.chat_template and SEP not in tokenizer.get_vocab():
            raise ConfigError(
                f"data.tokenizer: it has neither a chat template nor a {SEP} token to end a prompt"
            )

    def encode(self, problem: Problem) -> Prompt:
        """One problem as token ids.

        Raises:
            AnswerNotFound: Hints are wanted, and the trace does not end in the answer.
            ConfigError: The problem exceeds a limit, or contains the mask token.
        """
        return self._encode(problem, *self._tokenize([problem])[0])

    def encode_all(self, problems: Sequence[Problem]) -> EncodeReport:
        """All problems that ``on_long`` and ``on_missing_answer`` let pass; raises as :meth:`encode`."""
        rows = list(problems)
        if self.cache is None or len(rows) < CACHED_ROWS:
            return EncodeReport(*collect(self._outcomes(rows)))
        return EncodeReport(*self.cache.get(self._key(rows), rows, lambda: self._outcomes(rows)))

    def _outcomes(self, problems: Sequence[Problem]) -> Iterator[Outcome]:
        """For each problem its encoding, or why it is left out."""
        for start in range(0, len(problems), _CHUNK):
            chunk = problems[start : start + _CHUNK]  # offsets of all tokens at once would fill the memory
            for problem, tokens in zip(chunk, self._tokenize(chunk), strict=True):
                try:
                    yield self._encode(problem, *tokens)
                except _TooLong as error:
                    if self.on_long == "error":
                        raise
                    yield error.reason
                except AnswerNotFound:
                    if self.on_missing_answer == "error":
                        raise
                    yield NO_ANSWER

    def _key(self, problems: Sequence[Problem]) -> str:
        """A digest of everything that :meth:`encode_all` depends on, the code of this package included."""
        tokenizer = self.tokenizer
        options = (self.max_prompt, self.max_response, self.on_long, self.on_missing_answer, self.hints)
        return digest(
            [
                code_of(Encoder, PromptFormat, Response, answer_spans, statements),
                [tokenizers.__version__, tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template],
                [str(tokenizer.special_tokens_map), self.mask_id, self.prompt.sha256, *options],
                [self.prompt.response],
                *([problem.prompt, problem.trace, problem.answer] for problem in problems),
            ]
        )

    def prompt_text(self, question: str) -> str:
        """``question`` as the model reads it, special tokens spelled out."""
        system, user = self.prompt.system, self.prompt.ask(question)
        if self.tokenizer.chat_template:
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": user})
            return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return f"{system}\n{user}{SEP}" if system else f"{user}{SEP}"

    def _tokenize(
        self, problems: Sequence[Problem]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...], list[Span]]]:
        """(prompt ids, response ids, response offsets) of each problem."""
        prompts = tokenize([self.prompt_text(problem.prompt) for problem in problems], self.tokenizer)
        responses = tokenize([self._laid_out(problem).text for problem in problems], self.tokenizer)
        return [(ids, *response) for (ids, _), response in zip(prompts, responses, strict=True)]

    def _laid_out(self, problem: Problem) -> Response:
        """The trace as the response that the prompt asks for."""
        final = None
        if self.prompt.changes_traces:
            with suppress(AnswerNotFound):
                final = _final_answer(problem.trace, problem.answer)
        return self.prompt.lay_out(problem.trace, problem.answer, final)

    def _encode(
        self, problem: Problem, ids: tuple[int, ...], response: tuple[int, ...], offsets: list[Span]
    ) -> Prompt:
        self._check(problem, ids, response)
        hint: tuple[int, ...] = ()
        if self.hints:
            try:
                final = self._laid_out(problem).place(_final_answer(problem.trace, problem.answer))
            except AnswerNotFound as error:
                raise AnswerNotFound(
                    f"problem {problem.id}: {error}; data.on_missing_answer=drop leaves such rows out"
                ) from None
            hint = mask_answer(response, offsets, final, self.mask_id)
        return Prompt(problem, ids, response, hint)

    def _check(self, problem: Problem, ids: tuple[int, ...], response: tuple[int, ...]) -> None:
        if self.mask_id in ids or self.mask_id in response:
            raise ConfigError(
                f"problem {problem.id}: its text contains the mask token {self.tokenizer.mask_token!r}, "
                "which only the sampler may write; remove it from the data"
            )
        if self.max_prompt is not None and len(ids) > self.max_prompt:
            raise _TooLong(
                LONG_PROMPT,
                f"problem {problem.id}: the prompt has {len(ids)} tokens, more than data.max_prompt="
                f"{self.max_prompt}; raise it, or leave such rows out with data.on_long=drop",
            )
        if self.max_response is not None and len(response) + 1 > self.max_response:
            raise _TooLong(
                LONG_TRACE,
                f"problem {problem.id}: the trace has {len(response)} tokens and needs one more for its end, "
                f"but the canvas holds {self.max_response} (sampler.length); raise it, or leave such "
                "rows out with data.on_long=drop",
            )


@lru_cache(maxsize=2 * _CHUNK)
def _final_answer(trace: str, answer: str) -> FinalAnswer:
    """:func:`answer_spans`, which both the layout and the hint of a row ask for."""
    return answer_spans(trace, answer)
