"""An OpenAI-compatible endpoint on this machine that does what a script says, and counts."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

QUESTION = re.compile(r"Problem:\n(.*?)\n\nLong solution:\n(.*?)\n\nFinal answer: ([^\n]*)\n", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One request: what it asks about, and the how-manieth for that question it is (from 1)."""

    question: str
    trace: str
    answer: str
    number: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Response:
    """What the endpoint sends after ``delay`` seconds; ``raw`` replaces the whole body."""

    text: str | None = ""
    status: int = 200
    finish: str = "stop"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    raw: bytes | None = None
    usage: tuple[int, int] | None = (100, 20)

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": self.text}}).encode()
        choice = {
            "index": 0,
            "finish_reason": self.finish,
            "message": {"role": "assistant", "content": self.text},
        }
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        if self.usage:
            answer["usage"] = dict(
                zip(("prompt_tokens", "completion_tokens", "total_tokens"), (*self.usage, 0), strict=True)
            )
        return json.dumps(answer).encode()


def boxed(call: Call) -> Response:
    """A good rewrite."""
    return Response(f"So \\boxed{{{call.answer}}}")


class Endpoint:
    """``url``; ``asked``, requests per question; ``calls``, in order; ``busiest``, the most at once."""

    def __init__(self, script: Callable[[Call], Response]) -> None:
        self.script = script
        self.asked: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.times: list[float] = []
        self.headers: list[Mapping[str, str]] = []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
        question, trace, answer = QUESTION.search(body["messages"][-1]["content"]).groups()
        with self.lock:
            self.asked[question] += 1
            call = Call(question, trace, answer, self.asked[question], body)
            self.calls.append(call)
            self.times.append(time.monotonic())
            self.headers.append({name.lower(): value for name, value in headers.items()})
        return self.script(call)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # clients are killed in these tests


@contextmanager
def serving(script: Callable[[Call], Response] = boxed):
    """An endpoint within the context."""
    endpoint = Endpoint(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                endpoint.busy += 1
                endpoint.busiest = max(endpoint.busiest, endpoint.busy)
            try:
                response = endpoint.answer(body, self.headers)
                time.sleep(response.delay)
            finally:
                with endpoint.lock:
                    endpoint.busy -= 1
            content = response.body()
            try:
                self.send_response(response.status)
                for name, value in {"Content-Type": "application/json", **response.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client did not wait, or was killed
                self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            return

    server = _Quiet(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
