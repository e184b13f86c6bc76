"""Reward by a language model's verdict, asked for through an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import threading
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from igpo_lightning.asking import Ask, Reply, Unanswered, Writer
from igpo_lightning.checks import ConfigError, positive, template
from igpo_lightning.files import append_line
from igpo_lightning.types import Problem

KEY = "reward.terms.judge"
_FIELD = re.compile(r"\{(question|answer|trace|completion)\}")


class LLMJudge:
    """A score from 0 to 1 for each completion, as a language model gives it.

    No reply is paid for twice: each is on the disk before it is used, under everything that it depends on,
    and is found there by later runs and by other processes that start later. A completion can write what it
    likes into the request; only the last verdict of the *reply* counts, and a reply without one scores 0.

    Args:
        endpoint: Answers requests, with its own retries and bounds of time.
        user: The request, with ``{question}``, ``{completion}`` and, if wanted, ``{answer}`` and ``{trace}``.
        system: System message; null for none.
        verdict: Regular expression with one group, the verdict.
        values: What a verdict is worth, by its text in lower case; null: it is a number.
        scale: The highest number.
        correct_from: Least score that is correct.
        cache_dir: Folder of the replies; null keeps them for this process only.
        weight: Factor in the sum.

    Raises:
        ConfigError: A value makes no sense; on a call, the endpoint does not answer.
    """

    def __init__(
        self,
        endpoint: Writer,
        user: str,
        system: str | None = None,
        verdict: str = r"(?i)score:\s*(\d+(?:\.\d+)?)",
        values: Mapping[str, float] | None = None,
        scale: float = 1.0,
        correct_from: float = 1.0,
        cache_dir: str | None = None,
        weight: float = 1.0,
    ) -> None:
        self.endpoint, self.weight, self.correct_from = endpoint, weight, correct_from
        self.user, self.system = template(f"{KEY}.user", user, "{completion}"), system
        try:
            self._verdict = re.compile(verdict)
        except re.error as error:
            raise ConfigError(f"{KEY}.verdict: not a regular expression ({error})") from None
        if self._verdict.groups != 1:
            raise ConfigError(f"{KEY}.verdict: expected one group, the verdict; got {self._verdict.groups}")
        self._values = None if values is None else {text.lower(): float(v) for text, v in values.items()}
        self._scale = positive(f"{KEY}.scale", scale)
        self._replies = Replies(None if cache_dir is None else Path(cache_dir).expanduser())
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Semaphore(endpoint.concurrency)  # of all threads that ask
        self._warned = False

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        asks = [self._ask(problem, text) for problem, text in zip(problems, completions, strict=True)]
        keys = [self._key(ask) for ask in asks]
        missing = {key: ask for key, ask in zip(keys, asks, strict=True) if key not in self._replies.known}
        if missing:
            asyncio.run_coroutine_threadsafe(self._answer(missing), self._running()).result()
        return [self._score(self._replies.known[key]) for key in keys]

    def _ask(self, problem: Problem, completion: str) -> Ask:
        texts = {"question": problem.prompt, "answer": problem.answer, "trace": problem.trace}
        texts["completion"] = completion.encode("utf-8", "replace").decode()  # halves of surrogate pairs
        # In one pass, so that places which a completion names stay as they are.
        user = _FIELD.sub(lambda match: texts[match[1]], self.user)
        return Ask(problem.id, 1, self.system, user)

    def _key(self, ask: Ask) -> str:
        """Hash of everything that a reply depends on."""
        settings = {name.rpartition(".")[2]: value for name, value in self.endpoint.settings.items()}
        settings["base_url"] = getattr(self.endpoint, "base_url", None)
        return hashlib.sha256(json.dumps([settings, ask.messages], sort_keys=True).encode()).hexdigest()

    async def _answer(self, asks: Mapping[str, Ask]) -> None:
        async def answer(key: str, ask: Ask) -> None:
            async with self._room:
                await self.endpoint.turn(ask)
                self._replies.add(key, await self.endpoint.write(ask))

        tasks = [asyncio.create_task(answer(*item)) for item in asks.items()]
        try:
            await asyncio.gather(*tasks)
        except Unanswered as failure:
            raise ConfigError(
                f"{KEY}.endpoint: the judge gave no answer: {failure}; what it answered before is "
                "kept, and a run goes on by resume=auto"
            ) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _score(self, text: str) -> float:
        """The last verdict of a reply as a number from 0 to 1."""
        found = self._verdict.findall(text)
        said = found[-1].strip().lower() if found else ""
        try:
            value = float(said) if self._values is None else self._values[said]
        except (KeyError, ValueError):
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{KEY}: a reply holds no verdict, and counts as 0: {text[-200:]!r}", stacklevel=2
                )
            return 0.0
        return min(1.0, max(0.0, value / self._scale))

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop of requests, in a thread of its own: rewards are called from several."""
        with self._lock:
            if self._loop is None:
                self.endpoint.prepare()
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="judge", daemon=True).start()
            return self._loop


class Replies:
    """Replies by key, in memory and in the files of a folder: one for each process that got any.

    Attributes:
        known: Key → text.
    """

    def __init__(self, folder: Path | None) -> None:
        self.known: dict[str, str] = {}
        self._file: Path | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{KEY}.cache_dir={folder}: can't be made: {error.strerror}") from None
        for path in sorted(folder.glob("*.jsonl")):
            self._read(path)
        self._file = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; it is on the disk when this returns."""
        text = reply.said.encode("utf-8", "replace").decode()
        if self._file is not None:
            append_line(self._file, json.dumps({"key": key, "finish": reply.finish, "text": text}))
        self.known[key] = text

    def _read(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is being written
            try:
                row = json.loads(line)
                self.known[row["key"]] = str(row["text"])
            except (ValueError, TypeError, KeyError):
                raise ConfigError(
                    f"{path}:{number}: not a line of the judge's replies; delete the file, and they are "
                    "asked for again"
                ) from None
