"""A writer behind any OpenAI-compatible endpoint (OpenAI, vLLM, llama.cpp, OpenRouter, …)."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.rewriting.writer import Ask, Reply, Unanswered

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FATAL = (401, 402, 404)  # wrong key, no money, unknown model or address: the next request fares the same
_CHARS_PER_TOKEN = 3.0  # of text with much LaTeX; only for the rate limit, before the server has counted
_LONGEST_RETRY_AFTER = 120.0  # seconds; the client gives up where a server asks for more
_BURST_SECONDS = 10.0  # of the tokens-per-minute limit that may be spent at once


class OpenAIWriter:
    """Asks an endpoint; failed requests are retried by the ``openai`` client, with back-off.

    Args:
        model: As the endpoint names it.
        base_url: Such as ``http://localhost:8000/v1``; null for OpenAI's own.
        api_key_env: Name of the environment variable that holds the key; null for none. The key itself
            is never written anywhere.
        temperature: Null leaves it to the endpoint.
        max_tokens: Where an answer is cut off; null leaves it to the endpoint.
        extra: Further fields of the request's body.
        concurrency: Requests in flight.
        timeout: Seconds a request may go without a byte from the server.
        max_retries: Per request: after time-outs, lost connections, and status 408, 409, 429 and 5xx,
            each time after what ``Retry-After`` says or else a growing pause.
        requests_per_minute, tokens_per_minute: The account's limits, kept by waiting; null for none.
            Retries are not counted. Tokens are estimated as the prompt's plus ``max_tokens``.

    Raises:
        ConfigError: A value makes no sense.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        temperature: float | None = 0.3,
        max_tokens: int | None = 1024,
        extra: Mapping[str, Any] | None = None,
        concurrency: int = 16,
        timeout: float = 120.0,
        max_retries: int = 6,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.model, self.base_url = model, checked_url(base_url)
        self.api_key_env = _checked_variable(api_key_env)
        self.temperature, self.max_tokens, self.extra = temperature, max_tokens, dict(extra or {})
        self.concurrency = positive_int("rewriter.concurrency", concurrency)
        self.timeout, self.max_retries = timeout, max_retries
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
        for name in ("timeout", "requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ConfigError(f"rewriter.{name}={value}: expected a number above 0")
        self._client: Any = None

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "rewriter.model": self.model,
            "rewriter.temperature": self.temperature,
            "rewriter.max_tokens": self.max_tokens,
            "rewriter.extra": self.extra,
        }

    def prepare(self) -> None:
        openai, aiolimiter = _packages("openai", "aiolimiter")
        for name in ("openai", "httpx", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._openai = openai
        self._key = self._read_key()
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",  # the client insists on one
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )
        self._requests = self._tokens = None
        if self.requests_per_minute:
            # Evenly: a bucket that starts full would let twice the limit into the first minute.
            self._requests = aiolimiter.AsyncLimiter(1, 60 / self.requests_per_minute)
        if self.tokens_per_minute:
            share = self.tokens_per_minute * _BURST_SECONDS / 60
            self._tokens = aiolimiter.AsyncLimiter(share, _BURST_SECONDS)

    async def turn(self, ask: Ask) -> None:
        if self._tokens is not None:
            text = len(ask.user) + len(ask.system or "")
            cost = text / _CHARS_PER_TOKEN + (self.max_tokens or 0)
            await self._tokens.acquire(min(cost, self._tokens.max_rate))
        if self._requests is not None:
            await self._requests.acquire()

    async def write(self, ask: Ask) -> Reply:
        optional = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        request = self._client.chat.completions.create(
            model=self.model,
            messages=ask.messages,
            extra_body=self.extra or None,
            **{name: value for name, value in optional.items() if value is not None},
        )
        # The client's own timeout is between bytes, so a server that trickles would never reach it.
        longest = 2 * (self.max_retries + 1) * self.timeout + self.max_retries * _LONGEST_RETRY_AFTER
        try:
            return _reply(await asyncio.wait_for(request, longest))
        except self._openai.APIStatusError as error:
            raise Unanswered(self._said(error), fatal=error.status_code in _FATAL) from None
        except self._openai.APIConnectionError as error:  # time-outs are of this kind
            cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
            raise Unanswered(self._said(error) + cause) from None
        except asyncio.TimeoutError:
            raise Unanswered(f"no answer within {longest:.0f} s") from None
        except (self._openai.OpenAIError, ValueError) as error:
            raise Unanswered(f"an answer that is none: {self._said(error)}") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _read_key(self) -> str | None:
        if self.api_key_env is None:
            return None
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise ConfigError(
                f"rewriter.api_key_env={self.api_key_env}: this environment variable is not set; put the key "
                "into it, or say rewriter.api_key_env=null for an endpoint that needs none"
            )
        return key

    def _said(self, error: Exception) -> str:
        """The error in one line, without the key."""
        text = " ".join(str(error).split())[:400]
        return text.replace(self._key, "***") if self._key else text


def checked_url(url: str | None) -> str | None:
    """``url``, if it can be an endpoint's and holds no secret."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            "rewriter.base_url: it holds a user name, password or query; give a key by rewriter.api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"rewriter.base_url={url}: expected something like http://localhost:8000/v1")
    return url


def _checked_variable(name: str | None) -> str | None:
    if name is not None and not _VARIABLE.fullmatch(name):
        raise ConfigError(  # it may be the key, so it is not shown
            "rewriter.api_key_env: expected the name of an environment variable, never the key itself"
        )
    return name


def _packages(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise ConfigError(
            f"rewriter=openai needs the package {error.name!r}: pip install 'igpo-lightning[rewrite]'"
        ) from None


def _reply(completion: Any) -> Reply:
    """The first choice of a response; servers in the wild leave out most of the rest.

    Raises:
        Unanswered: It holds no choice.
    """
    choices = getattr(completion, "choices", None)
    if not choices:
        error = getattr(completion, "error", None) or type(completion).__name__
        raise Unanswered(f"the server sent no choice ({str(error)[:200]})")
    message, usage = choices[0].message, getattr(completion, "usage", None)
    return Reply(
        text=str(getattr(message, "content", None) or ""),
        finish=str(choices[0].finish_reason or "stop"),
        prompt_tokens=_count(getattr(usage, "prompt_tokens", None)),
        completion_tokens=_count(getattr(usage, "completion_tokens", None)),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
