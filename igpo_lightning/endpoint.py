"""A writer behind any OpenAI-compatible endpoint (OpenAI, vLLM, llama.cpp, OpenRouter, …)."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from igpo_lightning.amounts import is_int
from igpo_lightning.asking import Ask, Reply, Unanswered
from igpo_lightning.checks import ConfigError, positive, positive_int

_FATAL = (401, 402, 404)  # wrong key, no money, unknown model or address: the next request fares the same
_CHARS_PER_TOKEN = 3.0  # of text with much LaTeX; only for the rate limit, before the server has counted
_LONGEST_RETRY_AFTER = 120.0  # seconds; the client gives up where a server asks for more
_BURST_SECONDS = 10.0  # of the tokens-per-minute limit that may be spent at once


@dataclass
class OpenAIWriter:
    """Asks an endpoint; failed requests are retried by the ``openai`` client, with back-off.

    It retries after time-outs, lost connections, and status 408, 409, 429 and 5xx, each time after what
    ``Retry-After`` says or else a growing pause. The key itself is never written anywhere.

    Raises:
        ConfigError: A value makes no sense.
    """

    model: str  # as the endpoint names it
    base_url: str | None = None  # such as http://localhost:8000/v1; null for OpenAI's own
    api_key_env: str | None = "OPENAI_API_KEY"  # the environment variable with the key; null for none
    temperature: float | None = 0.3  # null leaves it to the endpoint
    max_tokens: int | None = 1024  # where an answer is cut off; null leaves it to the endpoint
    extra: Mapping[str, Any] | None = None  # further fields of the request's body
    concurrency: int = 16  # requests in flight
    timeout: float = 120.0  # seconds a request may go without a byte from the server
    max_retries: int = 6  # per request
    requests_per_minute: float | None = None  # the account's limits, kept by waiting; retries don't count
    tokens_per_minute: float | None = None  # estimated as the prompt's plus max_tokens
    key: str = "rewriter"  # its place in the configuration, for messages

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url or "http://localhost")
        if parts.username or parts.password or parts.query:
            raise ConfigError(
                f"{self.key}.base_url: it holds a user name, password or query; give a key by "
                f"{self.key}.api_key_env"
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"{self.key}.base_url={self.base_url}: expected something like http://localhost:8000/v1"
            )
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env or "none"):
            raise ConfigError(  # it may be the key, so it is not shown
                f"{self.key}.api_key_env: expected the name of an environment variable, never the key itself"
            )
        positive_int(f"{self.key}.concurrency", self.concurrency)
        for name in ("timeout", "requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, name)) is not None:
                positive(f"{self.key}.{name}", value)
        self.extra = dict(self.extra or {})
        names = ("model", "temperature", "max_tokens", "extra")
        self.settings = {f"{self.key}.{name}": getattr(self, name) for name in names}

    def prepare(self) -> None:
        try:
            import aiolimiter
            import openai
        except ImportError as error:
            raise ConfigError(
                f"{self.key}: it needs the package {error.name!r}: pip install 'igpo-lightning[rewrite]'"
            ) from None
        for name in ("openai", "httpx", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else "none"
        if not self._key:
            raise ConfigError(
                f"{self.key}.api_key_env={self.api_key_env}: this environment variable is not set; put the "
                f"key into it, or say {self.key}.api_key_env=null for an endpoint that needs none"
            )
        self._client = openai.AsyncOpenAI(  # which insists on a key
            api_key=self._key, base_url=self.base_url, timeout=self.timeout, max_retries=self.max_retries
        )
        self._limits = []  # with what a request takes of each, at most
        if self.tokens_per_minute:
            share = self.tokens_per_minute * _BURST_SECONDS / 60
            self._limits.append((aiolimiter.AsyncLimiter(share, _BURST_SECONDS), share))
        if self.requests_per_minute:
            # Evenly: a bucket that starts full would let twice the limit into the first minute.
            self._limits.append((aiolimiter.AsyncLimiter(1, 60 / self.requests_per_minute), 1))

    async def turn(self, ask: Ask) -> None:
        tokens = (len(ask.user) + len(ask.system or "")) / _CHARS_PER_TOKEN + (self.max_tokens or 0)
        for limiter, most in self._limits:
            await limiter.acquire(min(tokens, most))

    async def write(self, ask: Ask) -> Reply:
        import openai

        # The client's own timeout is between bytes, so a server that trickles would never reach it.
        longest = 2 * (self.max_retries + 1) * self.timeout + self.max_retries * _LONGEST_RETRY_AFTER
        messages: Any = ask.messages
        optional: Any = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        request = self._client.chat.completions.create(
            model=self.model,
            messages=messages,
            extra_body=self.extra,
            **{name: value for name, value in optional.items() if value is not None},
        )
        try:
            return _reply(await asyncio.wait_for(request, longest))
        except asyncio.TimeoutError:
            raise Unanswered(f"no answer within {longest:.0f} s") from None
        except openai.APIStatusError as error:
            raise Unanswered(self._said(error), fatal=error.status_code in _FATAL) from None
        except openai.APIConnectionError as error:  # time-outs are of this kind
            cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
            raise Unanswered(self._said(error) + cause) from None
        except (openai.OpenAIError, ValueError, RecursionError) as error:
            raise Unanswered(f"an answer that is none: {self._said(error)}") from None

    async def close(self) -> None:
        await self._client.close()

    def _said(self, error: Exception) -> str:
        """The error in one line, without the key."""
        text = " ".join(str(error).split())[:400]
        return text.replace(self._key, "***") if self.api_key_env else text


def _reply(completion: Any) -> Reply:
    """The first choice of a response: servers leave out most of one, and the client checks no types.

    Raises:
        ValueError: It holds no choice, or one without a text.
    """
    choices = getattr(completion, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message: Any = getattr(choice, "message", None)
    if not hasattr(message, "content"):
        error = getattr(completion, "error", None) or type(completion).__name__
        raise ValueError(f"the server sent no choice ({str(error)[:200]})")
    if (text := _text(message.content)) is None:
        raise ValueError(f"the server sent no text ({str(message.content)[:200]})")
    finish, usage = getattr(choice, "finish_reason", None), getattr(completion, "usage", None)
    counts = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(
        text, finish if isinstance(finish, str) else "stop", *(n if is_int(n) else None for n in counts)
    )


def _text(content: Any) -> str | None:
    """The text of a message, which some servers send in parts; None if it is of another form."""
    if content is None:
        return ""  # all that a model wrote was thoughts, or nothing
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    if not all(isinstance(part, Mapping) for part in content):
        return None
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return "".join(texts) if all(isinstance(text, str) for text in texts) else None
