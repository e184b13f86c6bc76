"""Problems as token ids: prompt, gold response, and the hint cut from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tokenizers
from transformers import PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError, choice
from igpo_lightning.data.cache import EncodingCache, Fate, Outcome, code_of, collect, digest
from igpo_lightning.data.literal import PromptTokens, literal_tokens
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.data.responses import lay_out
from igpo_lightning.data.tokenizers import SEP
from igpo_lightning.data.traces import AnswerNotFound, FinalAnswer, Span, answer_spans, mask_answer
from igpo_lightning.rewards.answers import statements
from igpo_lightning.rewards.boxes import boxes
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

CACHED_ROWS = 2000
"""Fewer rows are encoded in less time than it takes to tell whether they are in the cache."""

_CHUNK = 1024


@dataclass(frozen=True)
class EncodeReport:
    """Outcome of encoding a sequence of problems.

    Attributes:
        prompts: The encoded ones, in the given order.
        fates: What became of each problem.
    """

    prompts: Sequence[Prompt]
    fates: Sequence[Fate] = ()

    @property
    def dropped(self) -> dict[str, int]:
        """Number of problems left out, by reason."""
        return dict(Counter(fate.note for fate in self.fates if not fate.kept))

    @property
    def changed(self) -> dict[str, int]:
        """Number of problems kept with a note, by note."""
        return dict(Counter(fate.note for fate in self.fates if fate.kept and fate.note))


@dataclass(frozen=True)
class _Encoded:
    """Problem as tokens; ``final`` is in characters of the laid-out response."""

    ids: tuple[int, ...]
    response: tuple[int, ...]
    offsets: list[Span]
    final: FinalAnswer | AnswerNotFound | None


class _Refused(ConfigError):
    """A row that an ``on_…`` option decides about; ``reason`` is why."""

    def __init__(self, key: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.key, self.reason = key, reason


class _NoAnswer(_Refused, AnswerNotFound):
    """A row that ``on_missing_answer`` decides about: its trace, wanted for hints, ends in no answer."""


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
        choice("data.on_long", on_long, "cut", "drop", "error")
        choice("data.on_missing_answer", on_missing_answer, "drop", "error")
        choice("data.on_mask_token", on_mask_token, "drop", "error", "text")
        self.tokenizer, self.prompt = tokenizer, prompt or PLAIN
        self.hints, self.targets = hints, targets
        self.max_prompt, self.max_response = max_prompt, max_response
        self.on = {"long": on_long, "missing_answer": on_missing_answer, "mask_token": on_mask_token}
        self.cache = EncodingCache(cache_dir) if cache_dir else None
        known: Any = tokenizer.mask_token_id if mask_id is None else mask_id
        if known is None:
            raise ConfigError(
                "data.tokenizer: it has no mask token; set mask_token in its tokenizer_config.json"
            )
        if not tokenizer.chat_template and SEP not in tokenizer.get_vocab():
            raise ConfigError(
                f"data.tokenizer: it has neither a chat template nor a {SEP} token to end a prompt"
            )
        self.mask_id = int(known)
        name: Any = tokenizer.convert_ids_to_tokens(self.mask_id)
        self.mask_name: str | None = name  # None if the tokenizer does not know the id
        self._prompt_tokens = PromptTokens(tokenizer, self.prompt_text)

    def encode(self, problem: Problem) -> Prompt:
        """One problem as token ids.

        Raises:
            AnswerNotFound: Hints are wanted, and the trace does not end in the answer.
            ConfigError: The problem exceeds a limit, or names the mask token.
        """
        prompt, _ = self._encode(problem, self._tokenize([problem])[0])
        return prompt

    def encode_all(self, problems: Sequence[Problem]) -> EncodeReport:
        """All problems that the ``on_…`` options let pass; raises as :meth:`encode`."""
        rows = list(problems)
        if self.cache is None or len(rows) < CACHED_ROWS:
            return EncodeReport(*collect(self._outcomes(rows)))
        return EncodeReport(*self.cache.get(self._key(rows), rows, lambda: self._outcomes(rows)))

    def _outcomes(self, problems: Sequence[Problem]) -> Iterator[Outcome]:
        """For each problem its encoding, or why it is left out."""
        for start in range(0, len(problems), _CHUNK):
            chunk = problems[start : start + _CHUNK]  # offsets of all tokens at once would fill the memory
            for problem, encoded in zip(chunk, self._tokenize(chunk), strict=True):
                try:
                    yield self._encode(problem, encoded)
                except _Refused as error:
                    if self.on[error.key] == "error":
                        raise
                    yield None, Fate(False, error.reason)

    def _key(self, problems: Sequence[Problem]) -> str:
        """A digest of everything that :meth:`encode_all` depends on, the code of this package included."""
        tokenizer: Any = self.tokenizer
        options = (self.max_prompt, self.max_response, self.on, self.hints, self.targets)
        return digest(
            [
                code_of(Encoder, PromptTokens, PromptFormat, lay_out, answer_spans, statements, boxes),
                [tokenizers.__version__, tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template],
                [str(tokenizer.special_tokens_map), self.mask_id, self.prompt.sha256, self.prompt.response],
                list(options),
                *([problem.prompt, problem.trace, problem.answer] for problem in problems),
            ]
        )

    def prompt_text(self, question: str) -> str:
        """``question`` as the model reads it, special tokens spelled out."""
        system, user = self.prompt.system, self.prompt.ask(question)
        if self.tokenizer.chat_template:
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": user})
            text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return str(text)
        return f"{system}\n{user}{SEP}" if system else f"{user}{SEP}"

    def _tokenize(self, problems: Sequence[Problem]) -> list[_Encoded]:
        prompts = self._prompt_tokens([problem.prompt for problem in problems])
        finals = [self._final(problem) for problem in problems]
        laid = [
            self.prompt.lay_out(p.trace, p.answer, None if isinstance(final, AnswerNotFound) else final)
            for p, final in zip(problems, finals, strict=True)
        ]
        responses = literal_tokens([response.text for response in laid], self.tokenizer)
        return [
            _Encoded(ids, *tokens, layout.place(final) if isinstance(final, FinalAnswer) else final)
            for ids, tokens, layout, final in zip(prompts, responses, laid, finals, strict=True)
        ]

    def _final(self, problem: Problem) -> FinalAnswer | AnswerNotFound | None:
        """Where the trace says its answer, or why that is not known; None if nobody asks."""
        if not problem.trace or not (self.hints or self.prompt.changes_traces):
            return None
        try:
            return answer_spans(problem.trace, problem.answer)
        except AnswerNotFound as error:
            return error

    def _encode(self, problem: Problem, encoded: _Encoded) -> tuple[Prompt, Fate]:
        response = encoded.response
        self._check(problem, encoded.ids, response)
        hint = self._hint(problem, encoded) if self.hints else ()
        room = self.max_response
        note = ""
        if self.hints and not problem.trace:
            note = NO_TRACE
        elif room is not None and len(response) + 1 > room:
            hint, response, note = hint[:room], response[:room], CUT
        return Prompt(problem, encoded.ids, response, hint), Fate(True, note)

    def _hint(self, problem: Problem, encoded: _Encoded) -> tuple[int, ...]:
        if not problem.trace:
            return ()
        if not isinstance(encoded.final, FinalAnswer):
            message = (
                f"problem {problem.id}: {encoded.final}; data.on_missing_answer=drop leaves such rows out"
            )
            raise _NoAnswer("missing_answer", NO_ANSWER, message)
        return mask_answer(encoded.response, encoded.offsets, encoded.final, self.mask_id)

    def _names_mask(self, problem: Problem) -> bool:
        name = self.mask_name
        return bool(name) and name in problem.prompt + problem.trace

    def _check(self, problem: Problem, ids: tuple[int, ...], response: tuple[int, ...]) -> None:
        """Refuse what an ``on_…`` option decides about."""
        if self.on["mask_token"] != "text" and self._names_mask(problem):
            raise _Refused(
                "mask_token",
                MASK_TOKEN,
                f"problem {problem.id}: its text contains the mask token {self.mask_name!r}, which only the "
                "sampler may write; remove it, or leave such rows out with data.on_mask_token=drop",
            )
        if self.targets and not problem.trace:
            raise _Refused(
                "missing_answer",
                NO_TRACE,
                f"problem {problem.id}: it has no trace, and fine-tuning learns nothing else; "
                "data.on_missing_answer=drop leaves such rows out",
            )
        if self.max_prompt is not None and len(ids) > self.max_prompt:
            raise _Refused(
                "long",
                LONG_PROMPT,
                f"problem {problem.id}: the prompt has {len(ids)} tokens, more than data.max_prompt="
                f"{self.max_prompt}; raise it, or leave such rows out with data.on_long=drop",
            )
        can_cut = self.hints and self.on["long"] == "cut"
        if self.max_response is not None and len(response) + 1 > self.max_response and not can_cut:
            raise _Refused(
                "long",
                LONG_TRACE,
                f"problem {problem.id}: the trace has {len(response)} tokens and needs one more for its end, "
                f"but the canvas holds {self.max_response} (sampler.length); raise it, or leave such "
                f"rows out with data.on_long=drop{', or cut it with data.on_long=cut' if self.hints else ''}",
            )
