"""Judge of rewrites: the first reason against training on one, cheapest questions first."""

from __future__ import annotations

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.data.traces import AnswerNotFound, answer_spans
from igpo_lightning.rewards import Verifier, extract, statements
from igpo_lightning.rewards.answers import ends_cleanly
from igpo_lightning.rewriting.records import clean
from igpo_lightning.rewriting.writer import TRUNCATED
from igpo_lightning.types import Problem

EMPTY = "empty"
CUT_OFF = "cut off"
TOO_LONG = "too long"
MARKUP = "markup"
NO_ANSWER = "no final answer"
WRONG = "wrong answer"
NOT_LAST = "answer not at the end"

_MARKUP = re.compile(
    r"</?(?:think|thinking|thought|reason|reasoning|reflection|scratchpad|solution|answer|output)\b[^>]{0,80}>"
    r"|<\|[^<>|]{0,80}\|>|</?s>|```",
    re.IGNORECASE,
)
_MAX_CHARS_PER_TOKEN = 128  # a text above this many per token that fit is not worth tokenizing


@dataclass(frozen=True)
class Finding:
    """``reason`` is None for a rewrite that may be kept; ``told`` says the same to its writer."""

    reason: str | None
    told: str
    tokens: int


class Judge:
    """Keeps a rewrite if it fits the canvas and ends in the right answer.

    The text must hold an answer that verifies, stand at its end where hints can be cut before it, and be
    neither cut off nor decorated; laid out as the prompt asks, and with one end token, it must fit
    ``length`` tokens.

    Args:
        tokenizer: Of the model that will be trained.
        length: Canvas width C in tokens.
        prompt: What that model will be asked with; by default the response is the text as it is.
        verifier: Compares answers; a new one if None. Safe to call from several threads.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        prompt: PromptFormat = PLAIN,
        verifier: Verifier | None = None,
    ) -> None:
        if positive_int("length", length) < 2:
            raise ConfigError(f"length={length}: a trace and its end token need at least 2 tokens")
        self.tokenizer, self.length, self.prompt = tokenizer, length, prompt
        if (layout := len(self._ids(self._laid_out(".", "0")))) >= length:
            raise ConfigError(
                f"length={length}: the layout of prompt={prompt.name} takes {layout} tokens around a trace "
                "of one, and needs one more for its end"
            )
        self.verifier = verifier or Verifier()
        self._special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}

    def __call__(self, problem: Problem, text: str, finish: str = "stop") -> Finding:
        """The finding on ``text`` as a rewrite of the problem's trace. Never raises on odd text."""
        if not text:
            return Finding(EMPTY, "it was empty.", 0)
        if len(text) > _MAX_CHARS_PER_TOKEN * self.length:
            return Finding(TOO_LONG, f"it has {len(text)} characters; write far less.", len(text))
        ids = self._ids(self._laid_out(clean(text), problem.answer))
        reason, told = self._against(problem, text, ids, finish) or (None, "")
        return Finding(reason, told, len(ids))

    def tokens(self, problem: Problem) -> int:
        """Length of the problem's own trace as a response, without an end token."""
        return len(self._ids(self._laid_out(clean(problem.trace), problem.answer)))

    def room(self, problem: Problem) -> int:
        """Tokens that a rewrite may have: what the layout and the end token leave of the canvas."""
        layout = self._laid_out(".", problem.answer) if self.prompt.changes_traces else ""
        return max(1, self.length - 1 - len(self._ids(layout)))

    def _laid_out(self, text: str, answer: str) -> str:
        """The response that ``text`` becomes in training."""
        if not self.prompt.changes_traces:
            return text
        try:
            final = answer_spans(text, answer)
        except AnswerNotFound:
            final = None
        return self.prompt.lay_out(text, answer, final).text

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _against(self, problem: Problem, text: str, ids: list[int], finish: str) -> tuple[str, str] | None:
        """(reason, the same in words), or None if nothing speaks against it."""
        if finish == TRUNCATED:
            return CUT_OFF, "it was cut off before its end; write less."
        if len(ids) + 1 > self.length:
            excess = len(ids) + 1 - self.length
            return (
                TOO_LONG,
                f"it has {len(ids)} tokens, but at most {self.length - 1} fit: {excess} too many.",
            )
        if found := self._markup(text, ids):
            return MARKUP, f"it contains {found!r}; write plain text and LaTeX only."
        stated = extract(text)
        if stated is None:
            return NO_ANSWER, "it states no final answer; end with it in \\boxed{}."
        if not self.verifier.equal(stated, problem.answer):
            return WRONG, f"its final answer is {stated!r}, but the right one is {problem.answer!r}."
        if not ends_cleanly(text, statements(text)[-1]):
            return NOT_LAST, "text follows the final answer; nothing may."
        try:
            answer_spans(text, problem.answer)
        except AnswerNotFound:
            return NOT_LAST, f"it must end in \\boxed{{{problem.answer}}}, written exactly so."
        return None

    def _markup(self, text: str, ids: list[int]) -> str | None:
        if match := _MARKUP.search(text):
            return match[0]
        special = next((token for token in ids if token in self._special), None)
        return None if special is None else self.tokenizer.convert_ids_to_tokens(special)
