"""Problems as token ids: prompt, gold response, and the hint cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import tokenizers
from transformers import PreTrainedTokenizerBase

from igpo_lightning import progress
from igpo_lightning.checks import ConfigError, choice
from igpo_lightning.data.cache import Encoded, Fate, Outcome, cached, digest, encoded
from igpo_lightning.data.literal import PromptTokens, literal_ids, literal_tokens
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.data.tokenizers import SEP
from igpo_lightning.data.traces import AnswerNotFound, FinalAnswer, answer_spans, final_statement, mask_answer
from igpo_lightning.types import Problem, Prompt

OnBad = Literal["error", "drop"]
OnLong = Literal["cut", "drop", "error"]
OnMask = Literal["error", "drop", "text"]

LONG_PROMPT = "prompt too long"
LONG_TRACE = "trace too long"
NO_ANSWER = "answer not at the end of the trace"
NO_TRACE = "no trace"
MASK_TOKEN = "names the mask token"
CUT = "trace cut to the canvas"

CACHED_ROWS = 500
"""Fewer rows are encoded in less time than it takes to tell whether they are in the cache."""

_CHUNK = 1024


@dataclass(frozen=True)
class _Tokens:
    """Problem as tokens; ``final`` is where its trace says the answer, None if nobody asks."""

    ids: tuple[int, ...]
    response: tuple[int, ...]
    final: FinalAnswer | AnswerNotFound | None


class _Refused(ConfigError):
    """A row that the option ``data.on_<key>`` decides about; ``reason`` is why."""

    def __init__(self, problem: Problem, key: str, reason: str, message: str) -> None:
        super().__init__(f"{problem.named}: {message}")
        self.key, self.reason = key, reason


class _NoAnswer(_Refused, AnswerNotFound):
    """A row whose trace, wanted for hints, ends in no answer."""


class Encoder:
    """Turns problems into token ids for one tokenizer and one canvas.

    The prompt goes through the tokenizer's chat template; without one it is the text followed by the
    separator token. The names of special tokens in a problem's own texts stay text.

    Args:
        tokenizer: A fast tokenizer.
        prompt: The words around the question, by default none, and the layout of the response.
        max_prompt: Most tokens of a prompt; null for no limit.
        max_response: Canvas width C, which must hold the response and one end-of-sequence token; null
            for no limit.
        on_long: What to do with a problem that exceeds a limit: raise an "error", "drop" it, or "cut" its
            response, where it is a source of hints; a target that lacks its end would teach never to stop,
            so without ``hints`` "cut" drops it, and so it does where the prompt is too long.
        on_missing_answer: What to do if its trace does not end in its answer: an "error", or "drop" it.
        on_mask_token: Likewise if a text of it names the mask token; "text" keeps the name as text.
        hints: False leaves ``Prompt.hint`` empty and needs no answer in the trace. With hints, a problem
            without a trace is kept, and has none.
        targets: Without hints, whether traces are what is learned, so that there must be one.
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
        on_long: OnLong = "error",
        on_missing_answer: OnBad = "error",
        on_mask_token: OnMask = "error",
        hints: bool = True,
        targets: bool = False,
        mask_id: int | None = None,
        cache_dir: str | None = None,
    ) -> None:
        choice("data.on_long", on_long, *get_args(OnLong))
        choice("data.on_missing_answer", on_missing_answer, *get_args(OnBad))
        choice("data.on_mask_token", on_mask_token, *get_args(OnMask))
        self.tokenizer, self.prompt = tokenizer, prompt or PLAIN
        self.hints, self.targets = hints, targets
        self.max_prompt, self.max_response = max_prompt, max_response
        self.on = {"long": on_long, "missing_answer": on_missing_answer, "mask_token": on_mask_token}
        self.cache_dir = cache_dir
        self.mask_id: Any = tokenizer.mask_token_id if mask_id is None else mask_id
        if self.mask_id is None:
            raise ConfigError(
                "data.tokenizer: it has no mask token; set mask_token in its tokenizer_config.json"
            )
        if not tokenizer.chat_template and SEP not in tokenizer.get_vocab():
            raise ConfigError(
                f"data.tokenizer: it has neither a chat template nor a {SEP} token to end a prompt"
            )
        self.mask_name = str(tokenizer.convert_ids_to_tokens(self.mask_id))
        self._prompt_tokens = PromptTokens(tokenizer, self.prompt_text)

    @property
    def strict(self) -> bool:
        """True if a single row can be an error."""
        return "error" in self.on.values()

    @property
    def settings(self) -> dict[str, str]:
        """The setting behind each reason for which a row is left out."""
        return {
            LONG_PROMPT: f"data.max_prompt={self.max_prompt}",
            LONG_TRACE: f"sampler.length={self.max_response}",
            NO_ANSWER: f"data.on_missing_answer={self.on['missing_answer']}",
            NO_TRACE: f"data.on_missing_answer={self.on['missing_answer']}",
            MASK_TOKEN: f"data.on_mask_token={self.on['mask_token']}",
        }

    def encode(self, problem: Problem) -> Prompt:
        """One problem as token ids.

        Raises:
            AnswerNotFound: Hints are wanted, and the trace does not end in the answer.
            ConfigError: The problem exceeds a limit, or names the mask token.
        """
        [tokens] = self._tokenize([problem])
        return self._encode(problem, tokens)[0]

    def encode_all(self, problems: Sequence[Problem]) -> Encoded:
        """All problems that the ``on_…`` options let pass; raises as :meth:`encode`."""
        rows = list(problems)
        if self.cache_dir is None or len(rows) < CACHED_ROWS:
            return encoded(self._outcomes(rows))
        key, hint_of = self._key(rows), self.hint if self.hints else None
        return cached(self.cache_dir, key, rows, lambda: self._outcomes(rows), hint_of)

    def hint(self, problem: Problem) -> tuple[int, ...]:
        """Gold tokens that may be written into a canvas, see :attr:`Prompt.hint`; () of no trace.

        Raises:
            AnswerNotFound: The trace does not end in the answer.
        """
        if not problem.trace:
            return ()
        final = _told(problem) or answer_spans(problem.trace, problem.answer)
        layout = self.prompt.lay_out(problem.trace, problem.answer, final)
        [(ids, offsets)] = literal_tokens([layout.text], self.tokenizer)
        return mask_answer(ids, offsets, layout.place(final), self.mask_id)[: self.max_response]

    def _outcomes(self, problems: Sequence[Problem]) -> Iterator[Outcome]:
        """For each problem its encoding, or why it is left out."""
        with progress.work("encoding", len(problems)):
            for start in range(0, len(problems), _CHUNK):
                chunk = problems[start : start + _CHUNK]  # all tokens at once would fill the memory
                progress.began(len(chunk))
                yield from self._encoded(chunk)
                progress.finished()

    def _encoded(self, problems: Sequence[Problem]) -> Iterator[Outcome]:
        for problem, tokens in zip(problems, self._tokenize(problems), strict=True):
            try:
                yield self._encode(problem, tokens)
            except _Refused as error:
                if self.on[error.key] == "error":
                    raise
                yield None, Fate(False, error.reason)

    def _key(self, problems: Sequence[Problem]) -> str:
        """A digest of everything that :meth:`encode_all` depends on, the code of this package included."""
        tokenizer: Any = self.tokenizer  # a fast one, which has a backend
        prompt = self.prompt
        return digest(
            [
                [tokenizers.__version__, tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template],
                [
                    str(tokenizer.special_tokens_map),
                    self.mask_id,
                    prompt.system,
                    prompt.user,
                    prompt.response,
                ],
                [self.max_prompt, self.max_response, self.on, self.hints, self.targets],
                *([p.prompt, p.trace, p.answer, p.tells] for p in problems),
            ]
        )

    def prompt_text(self, question: str) -> str:
        """``question`` as the model reads it, special tokens spelled out."""
        system, user = self.prompt.system, self.prompt.ask(question)
        if self.tokenizer.chat_template:
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": user})
            text: Any = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
            return text
        return f"{system}\n{user}{SEP}" if system else f"{user}{SEP}"

    def _tokenize(self, problems: Sequence[Problem]) -> list[_Tokens]:
        prompts = self._prompt_tokens([problem.prompt for problem in problems])
        finals = [self._final(problem) for problem in problems]
        laid = [
            self.prompt.lay_out(p.trace, p.answer, None if isinstance(final, AnswerNotFound) else final)
            for p, final in zip(problems, finals, strict=True)
        ]
        responses = literal_ids([response.text for response in laid], self.tokenizer)
        return [_Tokens(*each) for each in zip(prompts, responses, finals, strict=True)]

    def _final(self, problem: Problem) -> FinalAnswer | AnswerNotFound | None:
        """Where the trace says its answer, or why that is not known; None if nobody asks."""
        if not problem.trace or not (self.hints or self.prompt.changes_traces):
            return None
        try:
            return _told(problem) or final_statement(problem.trace, problem.answer)
        except AnswerNotFound as error:
            return error

    def _encode(self, problem: Problem, tokens: _Tokens) -> tuple[Prompt, Fate]:
        response, room = tokens.response, self.max_response
        self._check(problem, tokens)
        note = NO_TRACE if self.hints and not problem.trace else ""
        if problem.trace and room is not None and len(response) + 1 > room:
            response, note = response[:room], CUT
        return Prompt(problem, tokens.ids, response, self.hint if self.hints else None), Fate(True, note)

    def _check(self, problem: Problem, tokens: _Tokens) -> None:
        """Refuse what an ``on_…`` option decides about."""
        ids, response = len(tokens.ids), len(tokens.response)
        names_mask = bool(self.mask_name) and self.mask_name in problem.prompt + problem.trace
        if names_mask and self.on["mask_token"] != "text":
            raise _Refused(
                problem, "mask_token", MASK_TOKEN,
                f"its text contains the mask token {self.mask_name!r}, which only the sampler may write; "
                "remove it, or leave such rows out with data.on_mask_token=drop",
            )  # fmt: skip
        if self.targets and not problem.trace:
            raise _Refused(
                problem, "missing_answer", NO_TRACE,
                "it has no trace, and fine-tuning learns nothing else; data.on_missing_answer=drop leaves "
                "such rows out",
            )  # fmt: skip
        if self.max_prompt is not None and ids > self.max_prompt:
            raise _Refused(
                problem, "long", LONG_PROMPT,
                f"the prompt has {ids} tokens, more than data.max_prompt={self.max_prompt}; raise it, or "
                "leave such rows out with data.on_long=drop",
            )  # fmt: skip
        can_cut = self.hints and self.on["long"] == "cut"
        if self.max_response is not None and response + 1 > self.max_response and not can_cut:
            raise _Refused(
                problem, "long", LONG_TRACE,
                f"the trace has {response} tokens and needs one more for its end, but the canvas holds "
                f"{self.max_response} (sampler.length); raise it, or leave such rows out with "
                f"data.on_long=drop{', or cut it with data.on_long=cut' if self.hints else ''}",
            )  # fmt: skip
        if self.hints and problem.trace and not isinstance(tokens.final, FinalAnswer):
            raise _NoAnswer(
                problem, "missing_answer", NO_ANSWER,
                f"{tokens.final}; data.on_missing_answer=drop leaves such rows out",
            )  # fmt: skip


def _told(problem: Problem) -> FinalAnswer | None:
    """The final answer where the problem's source says what tells it."""
    return None if problem.tells is None else FinalAnswer(problem.tells[-1][0], problem.tells)
