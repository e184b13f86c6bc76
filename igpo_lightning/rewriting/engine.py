"""The loop: so many asks in flight, every answer journalled, judged, and asked again if need be."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting.journal import Journal
from igpo_lightning.rewriting.judge import Finding, Judge
from igpo_lightning.rewriting.progress import Progress
from igpo_lightning.rewriting.records import ORIGINAL, Answer, Trace, Verdict, clean, digest
from igpo_lightning.rewriting.rules import Rules
from igpo_lightning.rewriting.tally import Tally
from igpo_lightning.rewriting.writer import Reply, Unanswered, Writer


class Stop:
    """A request to stop: first politely (what is in flight is waited for), then at once.

    Attributes:
        signal: The signal that asked for it, if one did.
    """

    def __init__(self) -> None:
        self.requested, self.at_once = asyncio.Event(), asyncio.Event()
        self.signal: signal.Signals | None = None

    def __call__(self, by: signal.Signals | None = None) -> None:
        """Ask for it; a second signal means at once."""
        if self.signal is not None and by is not None:
            self.at_once.set()
        self.signal = self.signal or by
        self.requested.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM call this object; their handlers are put back after."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in numbers}
        with suppress(ValueError, RuntimeError, NotImplementedError):  # not the main thread: no handlers
            for number in numbers:
                loop.add_signal_handler(number, self, number)
        try:
            yield
        finally:
            for number in numbers:
                if loop.remove_signal_handler(number):
                    signal.signal(number, before[number])


class Rewriter:
    """Rewrites traces until each is kept or has had its attempts.

    Args:
        writer: Prepared.
        rules: What it is asked.
        judge: What is kept.
        journal: Begun. What it holds is in the traces already.
        tally: Is kept up to date.
        attempts: Answers asked for per trace, at most.
        keep_fitting: Keep a trace as it is if the judge has nothing against it.
        max_failures: Stop after so many requests in a row without an answer.
        grace: Seconds that requests in flight are waited for when stopping.
        progress: Is told what happens.

    Attributes:
        error: Why it gave up, if it did.
    """

    def __init__(
        self,
        writer: Writer,
        rules: Rules,
        judge: Judge,
        journal: Journal,
        tally: Tally,
        *,
        attempts: int = 2,
        keep_fitting: bool = False,
        max_failures: int = 20,
        grace: float = 60.0,
        progress: Progress | None = None,
    ) -> None:
        self.writer, self.rules, self.judge, self.journal, self.tally = writer, rules, judge, journal, tally
        self.attempts, self.keep_fitting = attempts, keep_fitting
        self.max_failures, self.grace = max_failures, grace
        self.progress = progress or Progress(tally)
        self.error: ConfigError | None = None
        self._stop = Stop()
        self._failures = 0  # in a row
        self._idle: set[asyncio.Task[None]] = set()  # workers with nothing sent, which may be cancelled

    async def run(self, traces: Sequence[Trace], stop: Stop) -> None:
        """Rewrite all open ``traces``, in order, until done, stopped, or without hope (see ``error``)."""
        self._stop = stop
        with stop.on_signals():
            await self._run(traces, stop)

    async def _run(self, traces: Sequence[Trace], stop: Stop) -> None:
        pending = iter([trace for trace in traces if trace.is_open(self.attempts)])
        workers = [asyncio.create_task(self._work(pending)) for _ in range(self.writer.concurrency)]
        finished = asyncio.gather(*workers, return_exceptions=True)
        stopped = asyncio.create_task(stop.requested.wait())
        with self.progress.running():
            try:
                await asyncio.wait({finished, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not finished.done():
                    await self._drain(workers)
            finally:
                stopped.cancel()
                for worker in workers:
                    worker.cancel()
                results = await finished
                await self.writer.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _drain(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """Wait for what is in flight, but not longer than ``grace`` or until told a second time."""
        for worker in self._idle:
            worker.cancel()
        busy = {worker for worker in workers if not worker.done() and worker not in self._idle}
        if busy:
            self.progress.say(
                f"stopping: waiting up to {self.grace:.0f} s for {len(busy)} requests in flight; "
                "once more to drop them"
            )
        at_once = asyncio.create_task(self._stop.at_once.wait())
        finished = asyncio.gather(*busy, return_exceptions=True)
        await asyncio.wait({finished, at_once}, timeout=self.grace, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()

    async def _work(self, pending: Iterator[Trace]) -> None:
        for trace in pending:
            if self._stop.requested.is_set():
                return
            try:
                await self._rewrite(trace)
            except Unanswered as failure:
                self._note(trace, failure)
            except ConfigError as error:
                self._give_up(error)
            except Exception:  # a bug: nothing more is paid for
                self._stop()
                raise

    async def _rewrite(self, trace: Trace) -> None:
        if self.keep_fitting and not trace.answers:
            verdict = await self._verdict(trace, ORIGINAL, trace.problem.trace, "stop")
            if verdict.reason is None:
                self._settle(trace, verdict)
        while trace.is_open(self.attempts):
            if (answer := trace.unjudged) is None:
                if self._stop.requested.is_set():
                    return
                answer = self._journalled(trace, await self._ask(trace))
            verdict = await self._verdict(trace, answer.attempt, answer.text, answer.finish)
            if self._stop.signal is not None:
                # A Ctrl-C also reaches the process that compares answers, and what it says then is worth
                # nothing. The answer is in the journal; the next start will judge it.
                return
            self._settle(trace, verdict)
        trace.failure = None
        self.tally.finish(trace)

    async def _ask(self, trace: Trace) -> Reply:
        last = trace.last()
        rejected = (last[0].text, last[1].told) if last else None
        ask = self.rules.ask(trace.problem, self.judge.room(trace.problem), len(trace.answers) + 1, rejected)
        this = asyncio.current_task()
        self._idle.add(this)
        try:
            await self.writer.turn(ask)
        finally:
            self._idle.discard(this)
        return await self.writer.write(ask)

    def _journalled(self, trace: Trace, reply: Reply) -> Answer:
        """The reply as an answer, on the disk. Nothing is awaited between its arrival and here."""
        answer = Answer(
            id=trace.problem.id,
            attempt=len(trace.answers) + 1,
            source=digest(trace.problem),
            text=clean(reply.text),
            finish=reply.finish,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            session=self.journal.session,
            at=self.journal.seconds(),
        )
        self.journal.add(answer)
        trace.answers.append(answer)
        self.tally.pay(answer)
        self._failures = 0
        return answer

    async def _verdict(self, trace: Trace, attempt: int, text: str, finish: str) -> Verdict:
        finding, before = await asyncio.to_thread(self._judged, trace, text, finish)
        return Verdict(trace.problem.id, attempt, finding.reason, finding.told, finding.tokens, before)

    def _judged(self, trace: Trace, text: str, finish: str) -> tuple[Finding, int]:
        """The finding, and the length of the original. Runs in a thread: comparing answers may take long."""
        known = trace.verdicts[-1].source_tokens if trace.verdicts else None
        before = self.judge.tokens(trace.problem) if known is None else known
        return self.judge(trace.problem, text, finish), before

    def _settle(self, trace: Trace, verdict: Verdict) -> None:
        self.journal.add(verdict)
        trace.verdicts.append(verdict)
        self.tally.judge(verdict)

    def _note(self, trace: Trace, failure: Unanswered) -> None:
        """A request that got no answer: its trace waits for the next start of the program."""
        trace.failure = str(failure)
        self.tally.failed += 1
        self._failures += 1
        if failure.fatal:
            self._give_up(ConfigError(f"the endpoint refuses: {failure}"))
        elif self._failures >= self.max_failures:
            self._give_up(
                ConfigError(f"{self._failures} requests in a row got no answer, the last one: {failure}")
            )

    def _give_up(self, error: ConfigError) -> None:
        if self.error is None:
            self.error = error
            self._stop()
