"""Judge of rewrites: the first reason against training on one, cheapest questions first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from igpo_lightning.asking import TRUNCATED
from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.data.traces import AnswerNotFound, final_statement
from igpo_lightning.models.published import read_config
from igpo_lightning.models.saved import FAMILIES
from igpo_lightning.rewards import Verifier, extract, statements
from igpo_lightning.rewards.answers import ends_cleanly
from igpo_lightning.rewriting.journal import Verdict, clean
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


@dataclass
class Judge:
    """Keeps a rewrite if it fits the canvas and ends in the right answer.

    The text must hold an answer that verifies, stand at its end where hints can be cut before it, and be
    neither cut off nor decorated; laid out as the prompt asks, and with one end token, it must fit
    ``length`` tokens. Safe to call from several threads.

    Raises:
        ConfigError: There is no room for any trace.
    """

    tokenizer: PreTrainedTokenizerBase  # of the model that will be trained
    length: int  # canvas width C in tokens
    prompt: PromptFormat = PLAIN  # what that model will be asked with

    def __post_init__(self) -> None:
        if positive_int("length", self.length) < 2:
            raise ConfigError(f"length={self.length}: a trace and its end token need at least 2 tokens")
        if (layout := len(self._ids(".", "0"))) >= self.length:
            raise ConfigError(
                f"length={self.length}: the layout of prompt={self.prompt.name} takes {layout} tokens around "
                "a trace of one, and needs one more for its end"
            )
        self.verifier = Verifier()
        unknown: Any = self.tokenizer.unk_token_id
        self._special = set(self.tokenizer.all_special_ids) - {unknown}

    def __call__(self, problem: Problem, text: str, finish: str = "stop", attempt: int = 1) -> Verdict:
        """The verdict on ``text`` as a rewrite of the problem's trace. Never raises on odd text."""
        if len(text) > _MAX_CHARS_PER_TOKEN * self.length:
            tokens, against = len(text), (TOO_LONG, f"it has {len(text)} characters; write far less.")
        else:
            ids = self._ids(text, problem.answer)
            tokens, against = len(ids), self._against(problem, text, ids, finish)
        return Verdict(problem.id, attempt, *(against or (None, "")), tokens, self.tokens(problem))

    def tokens(self, problem: Problem) -> int:
        """Length of the problem's own trace as a response, without an end token."""
        return len(self._ids(problem.trace, problem.answer))

    def room(self, problem: Problem) -> int:
        """Tokens that a rewrite may have: what the layout and the end token leave of the canvas."""
        layout = len(self._ids(".", problem.answer)) if self.prompt.changes_traces else 0
        return max(1, self.length - 1 - layout)

    def _ids(self, text: str, answer: str) -> list[int]:
        """Tokens of the response that ``text`` becomes in training."""
        text = clean(text)
        if self.prompt.changes_traces:
            try:
                final = final_statement(text, answer)
            except AnswerNotFound:
                final = None
            text = self.prompt.lay_out(text, answer, final).text
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _against(self, problem: Problem, text: str, ids: list[int], finish: str) -> tuple[str, str] | None:
        """(reason, the same in words), or None if nothing speaks against it."""
        if finish == TRUNCATED:
            return CUT_OFF, "it was cut off before its end; write less."
        if not text:
            return EMPTY, "it was empty."
        most = self.length - 1
        if len(ids) > most:
            return (
                TOO_LONG,
                f"it has {len(ids)} tokens, but at most {most} fit: {len(ids) - most} too many.",
            )
        tags = [match[0] for match in _MARKUP.finditer(text)]
        tags += self.tokenizer.convert_ids_to_tokens([token for token in ids if token in self._special])
        if tags:
            return MARKUP, f"it contains {tags[0]!r}; write plain text and LaTeX only."
        if (stated := extract(text)) is None:
            return NO_ANSWER, "it states no final answer; end with it in \\boxed{}."
        if not self.verifier.equal(stated, problem.answer):
            return WRONG, f"its final answer is {stated!r}, but the right one is {problem.answer!r}."
        if not ends_cleanly(text, statements(text)[-1]):
            return NOT_LAST, "text follows the final answer; nothing may."
        try:
            final_statement(text, problem.answer)
        except AnswerNotFound:
            return NOT_LAST, f"it must end in \\boxed{{{problem.answer}}}, written exactly so."
        return None


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id, the one that fine-tuning will use; no code of it is run.

    Raises:
        ConfigError: There is none.
    """
    try:
        family = FAMILIES.get(str(read_config(path).get("model_type")))
    except (OSError, ValueError, TypeError):
        family = None  # a folder with a tokenizer only
    # Published as code of its own: the stock kind, and not the config, which would ask for that code.
    stock = {"config": PreTrainedConfig(), "tokenizer_type": family.tokenizer_type} if family else {}
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False, **stock)
    except (OSError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"tokenizer={path}: cannot load it; give the folder or hub id of the model that will be trained "
            f"({said})"
        ) from error
