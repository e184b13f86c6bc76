"""The client against an endpoint that fails in all the ways endpoints do."""

import asyncio
import json

import pytest
from openai_server import Response, boxed, serving

from igpo_lightning import endpoint as module
from igpo_lightning.checks import ConfigError
from igpo_lightning.endpoint import OpenAIWriter
from igpo_lightning.rewriting import Ask, Unanswered

pytest.importorskip("openai")
pytest.importorskip("aiolimiter")

USER = "Problem:\n{}\n\nLong solution:\nLong.\n\nFinal answer: 7\n"


def ask(question="q"):
    return Ask(question, 1, "Be brief.", USER.format(question))


def writing(url, asks=1, **options):
    """The replies of a writer to so many asks at once; one that was not answered is the exception."""
    options = {"api_key_env": None, "timeout": 5.0, "max_retries": 1, **options}
    writer = OpenAIWriter("m", base_url=url, **options)

    async def one(number):
        question = ask(f"q{number}")
        await writer.turn(question)
        return await writer.write(question)

    async def main():
        try:
            return await asyncio.gather(*map(one, range(asks)), return_exceptions=True)
        finally:
            await writer.close()

    writer.prepare()
    return asyncio.run(main())


def test_an_answer_with_its_usage():
    with serving() as endpoint:
        [reply] = writing(endpoint.url, temperature=0.2, max_tokens=64, extra={"top_p": 0.9})
    assert (reply.text, reply.finish) == ("So \\boxed{7}", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (100, 20)
    body = dict(endpoint.calls[0].body)
    assert [message["role"] for message in body.pop("messages")] == ["system", "user"]
    assert body == {"model": "m", "temperature": 0.2, "max_tokens": 64, "top_p": 0.9}


def test_what_is_left_to_the_endpoint_is_not_sent():
    with serving() as endpoint:
        writing(endpoint.url, temperature=None, max_tokens=None)
    assert set(endpoint.calls[0].body) == {"model", "messages"}


def test_truncation_and_missing_usage_are_passed_on():
    with serving(lambda call: Response(None, finish="length", usage=None)) as endpoint:
        [reply] = writing(endpoint.url)
    assert (reply.text, reply.finish, reply.prompt_tokens) == ("", "length", None)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_failures_are_tried_again_after_retry_after(status, monkeypatch):
    def script(call):
        return boxed(call) if call.number == 3 else Response("x", status, headers={"Retry-After": "0.3"})

    naps = []

    async def nap(seconds):
        naps.append(seconds)

    monkeypatch.setattr("anyio.sleep", nap)
    with serving(script) as endpoint:
        [reply] = writing(endpoint.url, max_retries=2)
    assert reply.text == "So \\boxed{7}" and len(endpoint.calls) == 3
    assert naps == [0.3, 0.3]


def test_a_server_that_stalls_is_asked_again():
    def script(call):
        return Response(boxed(call).text, delay=0.0 if call.number == 2 else 6.0)

    with serving(script) as endpoint:
        [reply] = writing(endpoint.url, timeout=1.5)
    assert reply.text == "So \\boxed{7}" and len(endpoint.calls) == 2


@pytest.mark.parametrize(("response", "said"), [
    (Response("overloaded", 500), "overloaded"),
    (Response("bad\nrequest", 400), "bad"),
    (Response(delay=6.0), "timed out"),
    (Response(raw=b"<html>hello</html>", headers={"Content-Type": "text/html"}), "no choice"),
    (Response(raw=b"<html>hello</html>"), "an answer that is none"),
    (Response(raw=b"{}"), "no choice"),
    (Response(raw=b'{"choices": [], "error": {"message": "no credit"}}'), "no credit"),
    (Response(raw=b'{"choices": null}'), "no choice"),
])  # fmt: skip
def test_no_answer_is_an_error_of_that_request(response, said):
    with serving(lambda call: response) as endpoint:
        [error] = writing(endpoint.url, timeout=1.5, max_retries=0)
    assert isinstance(error, Unanswered) and not error.fatal
    assert said in str(error) and "\n" not in str(error)


def whole(**choice):
    """A response whose one choice has these fields instead of the usual ones."""
    usual = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Good."}}
    return {"choices": [{**usual, **choice}]}


def sent(*bodies):
    """What the writer makes of each of these bodies of a successful response."""
    left = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    with serving(lambda call: Response(raw=left.pop(0))) as endpoint:
        return [reply for _ in bodies for reply in writing(endpoint.url, max_retries=0)]


def test_a_response_of_another_form_is_no_answer():
    no_choice = [[], 3, None, *({"choices": odd} for odd in ("x", 3, {"0": {}}, [None], ["x"], [[]], [{}]))]
    no_choice += [whole(message=odd) for odd in (None, "Good.", 3, [])]
    no_text = [
        whole(message={"content": odd})
        for odd in (3, True, {"text": "Good."}, ["Good.\nYes."], [{"type": "text", "text": 3}])
    ]
    for replies, said in (
        (sent(*no_choice), "the server sent no choice"),
        (sent(*no_text), "the server sent no text"),
        (sent(b"[" * 200_000), "an answer that is none"),
    ):
        for error in replies:
            assert isinstance(error, Unanswered) and not error.fatal
            assert said in str(error) and "\n" not in str(error)


def test_the_parts_of_a_text_are_joined_and_thoughts_are_left_out():
    parts = [{"type": "thinking", "thinking": []}, *({"type": "text", "text": t} for t in ("Go", "od."))]
    whole_text, nothing = sent(whole(message={"content": parts}), whole(message={"content": parts[:1]}))
    assert (whole_text.text, nothing.text) == ("Good.", "")


@pytest.mark.parametrize("count", ["12", 12.0, True, None, [12]])
def test_counts_that_are_no_whole_numbers_are_not_told(count):
    usage = {"prompt_tokens": count, "completion_tokens": 4}
    odd, none = sent({**whole(finish_reason=count), "usage": usage}, {**whole(), "usage": count})
    assert (odd.text, odd.prompt_tokens, odd.completion_tokens) == ("Good.", None, 4)
    assert odd.finish == (count if isinstance(count, str) else "stop")
    assert (none.text, none.prompt_tokens, none.completion_tokens) == ("Good.", None, None)


@pytest.mark.parametrize("status", [401, 402, 404])
def test_what_no_other_request_would_do_better_is_fatal(status):
    with serving(lambda call: Response("no", status)) as endpoint:
        [error] = writing(endpoint.url, max_retries=3)
    assert error.fatal and len(endpoint.calls) == 1


def test_an_endpoint_that_is_not_there():
    [error] = writing("http://127.0.0.1:9/v1", max_retries=0)
    assert isinstance(error, Unanswered) and "Connection error" in str(error)


def test_the_key_is_sent_and_never_said(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    refusal = b'{"error": "key sk-very-secret is wrong"}'
    for response in (Response("key sk-very-secret is wrong", 403), Response(raw=refusal)):
        with serving(lambda call, response=response: response) as endpoint:
            [error] = writing(endpoint.url, api_key_env="MY_KEY")
        assert endpoint.headers[0]["authorization"] == "Bearer sk-very-secret"
        assert "key *** is wrong" in str(error) and "secret" not in str(error)


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"rewriter\.api_key_env=MY_KEY: this environment variable is not"):
        OpenAIWriter("m", api_key_env="MY_KEY").prepare()


def test_a_key_in_the_place_of_its_name_is_not_repeated():
    with pytest.raises(ConfigError, match="never the key itself") as caught:
        OpenAIWriter("m", api_key_env="sk-very-secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "https://me:secret@host/v1"])
def test_an_address_that_cannot_be(url):
    with pytest.raises(ConfigError, match=r"rewriter\.base_url") as caught:
        OpenAIWriter("m", base_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("concurrency", 0), ("timeout", 0), ("tokens_per_minute", -1)])
def test_numbers_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=rf"rewriter\.{name}={value}: "):
        OpenAIWriter("m", **{name: value})


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "aiolimiter", None)
    with pytest.raises(ConfigError, match=r"'aiolimiter': pip install 'igpo-lightning\[rewrite\]'"):
        OpenAIWriter("m", api_key_env=None).prepare()


class Timeless(asyncio.SelectorEventLoop):
    """A loop whose time moves on to the next thing that is due, and never otherwise."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when) + 1e-6  # or rounding never lets it be due
        super()._run_once()


def seconds_of_turns(count, **options):
    """How long it takes, by the loop's time, until so many asks have had their turn."""
    writer = OpenAIWriter("m", base_url="http://127.0.0.1:9/v1", api_key_env=None, **options)

    async def main():
        await asyncio.gather(*(writer.turn(ask()) for _ in range(count)))
        await writer.close()

    writer.prepare()
    loop = Timeless()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return loop.now


def test_requests_per_minute_are_spread_evenly():
    """One every 0.1 s, the first at once."""
    assert seconds_of_turns(5, requests_per_minute=600) == pytest.approx(0.4, abs=0.01)


def test_tokens_per_minute_are_kept():
    """Of 120 asks' worth a minute a burst of so many seconds is let through at once, then one every 0.5 s."""
    cost = len(USER.format("q") + "Be brief.") / 3 + 1000  # of one ask, as estimated
    at_once = int(2 * module._BURST_SECONDS)
    seconds = seconds_of_turns(at_once + 6, max_tokens=1000, tokens_per_minute=120 * cost + 1)
    assert seconds == pytest.approx(3.0, abs=0.1)


def test_without_limits_nobody_waits():
    assert seconds_of_turns(1000) == 0
