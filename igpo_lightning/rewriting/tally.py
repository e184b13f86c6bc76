"""Running counts of a rewriting, over all its sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from igpo_lightning.rewriting.records import ORIGINAL, UNANSWERED, Answer, Trace, Verdict


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens; None where it is not known."""

    input: float | None = None
    output: float | None = None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Dollars, if a price is known."""
        if self.input is None and self.output is None:
            return None
        return ((self.input or 0) * prompt_tokens + (self.output or 0) * completion_tokens) / 1e6


@dataclass
class Tally:
    """Counts over ``total`` traces.

    Attributes:
        kept: Traces with a concise version, ``unchanged`` of them as they were.
        rejected: Traces that used up their attempts, by the reason of the last one.
        answers: Answers paid for, ``uncounted`` of them without token counts.
        turned_down: Answers by the reason they were not kept.
        failed: Requests without an answer, in this session.
        seconds: Wall time of the sessions until their last answer, by session.
    """

    total: int
    prices: Prices = field(default_factory=Prices)
    kept: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    turned_down: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    seconds: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, traces: Sequence[Trace], attempts: int, prices: Prices | None = None) -> Tally:
        """The counts of what is known of ``traces`` already."""
        tally = cls(len(traces), prices or Prices())
        for trace in traces:
            for answer in trace.answers:
                tally.pay(answer)
            for verdict in trace.verdicts:
                tally.judge(verdict)
            if not trace.is_open(attempts):
                tally.finish(trace)
        return tally

    def pay(self, answer: Answer) -> None:
        """Count an answer."""
        self.answers += 1
        self.uncounted += answer.prompt_tokens is None or answer.completion_tokens is None
        self.prompt_tokens += answer.prompt_tokens or 0
        self.completion_tokens += answer.completion_tokens or 0
        self.seconds[answer.session] = max(self.seconds.get(answer.session, 0.0), answer.at)

    def judge(self, verdict: Verdict) -> None:
        """Count what became of an answer."""
        if verdict.reason is not None:
            self.turned_down[verdict.reason] += 1

    def finish(self, trace: Trace) -> None:
        """Count the outcome of a trace; call it once."""
        if (verdict := trace.kept) is not None:
            self.kept += 1
            self.unchanged += verdict.attempt == ORIGINAL
        else:
            self.rejected[trace.reason() or UNANSWERED] += 1

    @property
    def done(self) -> int:
        """Traces with an outcome."""
        return self.kept + self.rejected.total()

    @property
    def cost(self) -> float | None:
        """Dollars so far, if a price is known."""
        return self.prices.cost(self.prompt_tokens, self.completion_tokens)

    @property
    def wall_seconds(self) -> float:
        """Of all sessions."""
        return sum(self.seconds.values())
