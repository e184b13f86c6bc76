"""The loop: so many asks in flight, every answer journalled, judged, and asked again if need be."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from igpo_lightning.asking import Ask, Reply, Unanswered, Writer
from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.rewriting.journal import ORIGINAL, Answer, Journal, Trace, Verdict, clean, digest
from igpo_lightning.rewriting.judge import Judge
from igpo_lightning.rewriting.progress import Progress
from igpo_lightning.rewriting.writer import Rules


@dataclass
class Rewriter:
    """Rewrites traces until each is kept or has had its attempts.

    Attributes:
        error: Why it gave up, if it did.
        signal: The signal that stopped it, if one did.
    """

    writer: Writer  # prepared before run()
    rules: Rules
    judge: Judge
    journal: Journal
    progress: Progress
    attempts: int = 2  # answers asked for per trace, at most
    keep_fitting: bool = False  # keep a trace as it is if the judge has nothing against it
    max_failures: int = 20  # stop after so many requests in a row without an answer
    grace: float = 60.0  # seconds that requests in flight are waited for when stopping

    def __post_init__(self) -> None:
        positive_int("attempts", self.attempts)
        positive_int("max_failures", self.max_failures)
        self.error: Exception | None = None
        self.signal: signal.Signals | None = None
        sessions = [record.session for record in self.journal.records if isinstance(record, Answer)]
        self._session = max(sessions, default=0) + 1
        self._failures = 0  # in a row
        self._sent: set[asyncio.Task[Trace]] = set()

    async def run(self, traces: Sequence[Trace]) -> None:
        """Rewrite all open ``traces``, in order, until done, stopped, or without hope (see ``error``).

        SIGINT and SIGTERM stop it politely: what is in flight is waited for, but not longer than ``grace``
        or until a second signal.
        """
        self._started = time.monotonic()
        queue = deque(trace for trace in traces if trace.is_open(self.attempts))
        self._feeder = asyncio.create_task(self._feed(queue))
        loop = asyncio.get_running_loop()  # which puts the handlers back when it is closed
        with suppress(ValueError, RuntimeError):  # not the main thread, or no such system: no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop, number)
        with self.progress.running():
            try:
                await asyncio.wait({self._feeder})
                if busy := [task for task in self._sent if not task.done()]:
                    self.progress.line.print(
                        f"stopping: waiting up to {self.grace:.0f} s for {len(busy)} requests in flight; "
                        "once more to drop them"
                    )
                    await asyncio.wait(busy, timeout=self.grace)
            finally:
                tasks = [self._feeder, *self._sent]
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                await self.writer.close()
        for error in (*results, self.error):
            if isinstance(error, Exception) and not isinstance(error, ConfigError):
                raise error  # a bug

    def stop(self, by: signal.Signals | None = None) -> None:
        """Send no more; on a second signal, drop what is in flight."""
        if self.signal is not None and by is not None:
            for task in self._sent:
                task.cancel()
        self.signal = self.signal or by
        self._feeder.cancel()

    async def _feed(self, queue: deque[Trace]) -> None:
        """Start a step for the next trace whenever there is room; a trace that stays open is next again."""
        while queue or self._sent:
            if queue and len(self._sent) < self.writer.concurrency:
                trace = queue.popleft()
                if (ask := self._ask(trace)) is not None:
                    await self.writer.turn(ask)
                self._sent.add(asyncio.create_task(self._step(trace, ask)))
                continue
            done, self._sent = await asyncio.wait(self._sent, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                trace = task.result()
                if trace.failure is None and trace.is_open(self.attempts):
                    queue.appendleft(trace)

    def _ask(self, trace: Trace) -> Ask | None:
        """The next request for a trace; None if there is something to judge first."""
        untouched = not trace.answers and ORIGINAL not in trace.verdicts
        if trace.unjudged is not None or (self.keep_fitting and untouched):
            return None
        room = self.judge.room(trace.problem)
        return self.rules.ask(trace.problem, room, len(trace.answers) + 1, trace.rejected)

    async def _step(self, trace: Trace, ask: Ask | None) -> Trace:
        """Have ``ask`` answered, and judge what there is to judge of the trace."""
        try:
            if ask is not None:
                self._pay(trace, ask, await self.writer.write(ask))
            if (answer := trace.unjudged) is not None:
                what = answer.text, answer.finish, answer.attempt
            else:
                what = trace.problem.trace, "stop", ORIGINAL
            # In a thread: comparing answers may take long.
            verdict = await asyncio.to_thread(self.judge, trace.problem, *what)
            # A Ctrl-C also reaches the process that compares answers, and what it says then is worth
            # nothing. The answer is in the journal; the next start will judge it.
            if self.signal is None:
                self._add(trace, verdict)
        except Unanswered as failure:
            self._note(trace, failure)
        except Exception as error:  # it can't go on, or a bug: nothing more is paid for
            self._give_up(error)
        return trace

    def _pay(self, trace: Trace, ask: Ask, reply: Reply) -> None:
        """Journal a reply. Nothing is awaited between its arrival and here."""
        answer = Answer(
            id=ask.id,
            attempt=ask.attempt,
            source=digest(trace.problem),
            text=clean(reply.said),
            finish=reply.finish,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            session=self._session,
            at=round(time.monotonic() - self._started, 3),
        )
        self._add(trace, answer)
        self._failures = 0

    def _add(self, trace: Trace, record: Answer | Verdict) -> None:
        self.journal.add(record)
        trace.add(record)

    def _note(self, trace: Trace, failure: Unanswered) -> None:
        """A request that got no answer: its trace waits for the next start of the program."""
        trace.failure = str(failure)
        self._failures += 1
        if failure.fatal:
            self._give_up(ConfigError(f"the endpoint refuses: {failure}"))
        elif self._failures >= self.max_failures:
            self._give_up(
                ConfigError(f"{self._failures} requests in a row got no answer, the last one: {failure}")
            )

    def _give_up(self, error: Exception) -> None:
        self.error = self.error or error
        self.stop()
