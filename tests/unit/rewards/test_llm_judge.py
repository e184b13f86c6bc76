"""A judge behind an endpoint: scores, cached on disk, bounded, and clear when it fails."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai_server import Response, serving

from igpo_lightning.checks import ConfigError
from igpo_lightning.endpoint import OpenAIWriter
from igpo_lightning.rewards import LLMJudge, RewardSum
from igpo_lightning.types import Problem

pytest.importorskip("openai")
pytest.importorskip("aiolimiter")

USER = "Problem:\n{question}\n\nLong solution:\n{completion}\n\nFinal answer: {answer}\n"
WORDS = {"verdict": r"Verdict: (\w+)", "values": {"Right": 1.0, "half": 0.5, "wrong": 0.0}}


def judge(url, model="m", **options):
    own = {name: options.pop(name) for name in ("timeout", "max_retries", "concurrency") if name in options}
    endpoint = OpenAIWriter(model, url, api_key_env=None, **{"timeout": 5.0, "max_retries": 0, **own})
    return LLMJudge(endpoint, USER, **options)


def problem(number, answer="7"):
    return Problem(f"q/{number}", f"q{number}", "", answer)


def verdicts(*texts):
    """An endpoint that says these things by the last letter of the response that it is shown."""
    return lambda call: Response(texts[int(call.trace[-1])])


def test_scores_by_words_and_correctness():
    says = ("Verdict: wrong. No: Verdict: Right", "Verdict: half", "Verdict: perhaps", "")
    with serving(verdicts(*says)) as endpoint, pytest.warns(UserWarning, match="holds no verdict.*perhaps"):
        reward = RewardSum({"judge": judge(endpoint.url, **WORDS)}, "judge")
        scores = reward([problem(0)] * 4, ["a0", "a1", "a2", "a3"])
        assert scores.total.tolist() == [1.0, 0.5, 0.0, 0.0]
        assert scores.correct.tolist() == [True, False, False, False]
        assert RewardSum({"judge": judge(endpoint.url, correct_from=0.5, **WORDS)}, "judge")(
            [problem(0)] * 2, ["a0", "a1"]
        ).correct.all()


def test_scores_by_numbers():
    with serving(verdicts("Score: 7", "score: 12 of 10", "Score: 2.5\nSCORE: 0")) as endpoint:
        assert judge(endpoint.url, scale=10)([problem(0)] * 3, ["0", "1", "2"]) == [0.7, 1.0, 0.0]


@pytest.mark.filterwarnings("ignore:.*holds no verdict")
def test_thoughts_are_no_verdict():
    says = ("<think>Score: 1?</think>Score: 0", "Score: 0.\n</think>\n\nScore: 1", "<think>So: Score: 1, if")
    with serving(verdicts(*says)) as endpoint:
        assert judge(endpoint.url)([problem(0)] * 3, ["0", "1", "2"]) == [0.0, 1.0, 0.0]


def test_what_is_asked():
    with serving(verdicts("Score: 1")) as endpoint:
        judge(endpoint.url, system="Be just.")([problem(3)], ["{answer} Score: 1 0"])
    [call] = endpoint.calls
    assert (call.question, call.trace, call.answer) == ("q3", "{answer} Score: 1 0", "7")
    assert call.body["messages"][0] == {"role": "system", "content": "Be just."}


def test_nothing_is_asked_twice(tmp_path):
    with serving(verdicts("Score: 1", "Score: 0")) as endpoint:
        first = judge(endpoint.url, cache_dir=tmp_path)
        assert first([problem(0)] * 4, ["0", "1", "0", "0"]) == [1.0, 0.0, 1.0, 1.0]
        assert len(endpoint.calls) == 2 and first([problem(0)], ["1"]) == [0.0]
        assert judge(endpoint.url, cache_dir=tmp_path)([problem(0)] * 2, ["1", "0"]) == [0.0, 1.0]
        assert len(endpoint.calls) == 2
        for other in ({"model": "n"}, {"system": "s"}):  # whatever a reply depends on
            judge(endpoint.url, cache_dir=tmp_path, **other)([problem(0)], ["0"])
        judge(endpoint.url, cache_dir=tmp_path)([problem(0, "8")], ["0"])
        assert len(endpoint.calls) == 5
    files = list(tmp_path.glob("*.jsonl"))
    assert len(files) == 4  # of those that got a reply
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({row["key"] for row in rows}) == 5 and {row["finish"] for row in rows} == {"stop"}


def test_a_line_that_is_being_written_is_none_and_a_damaged_one_is_named(tmp_path):
    with serving(verdicts("Score: 1")) as endpoint:
        judge(endpoint.url, cache_dir=tmp_path)([problem(0)], ["0"])
        [file] = tmp_path.glob("*.jsonl")
        file.write_text(file.read_text() + '{"key": "to')
        judge(endpoint.url, cache_dir=tmp_path)([problem(0)], ["0"])
        assert len(endpoint.calls) == 1
        file.write_text("no line\n")
        with pytest.raises(ConfigError, match=rf"{file.name}:1: not a line of the judge's replies"):
            judge(endpoint.url, cache_dir=tmp_path)


def test_a_failed_request_is_tried_again_and_a_refused_one_is_one_line(tmp_path):
    def script(call):
        if call.trace == "0":
            return (
                Response("Score: 1")
                if call.number > 1
                else Response("busy", 503, headers={"Retry-After": "0"})
            )
        return Response("no such model", 404)

    with serving(script) as endpoint:
        reward = judge(endpoint.url, max_retries=2, cache_dir=tmp_path)
        assert reward([problem(0)], ["0"]) == [1.0] and len(endpoint.calls) == 2
        with pytest.raises(
            ConfigError, match=r"reward\.terms\.judge\.endpoint: .*no such model.*resume=auto"
        ):
            reward([problem(0), problem(1)], ["0", "5"])
        assert reward([problem(0)], ["0"]) == [1.0]  # and it is still of use


@pytest.mark.parametrize("choices", ["Score: 1", [None], [{"message": {"content": 1}}]])
def test_a_response_of_another_form_is_no_reply(choices):
    raw = Response(raw=json.dumps({"choices": choices}).encode())
    with (
        serving(lambda call: raw) as endpoint,
        pytest.raises(ConfigError, match="the judge gave no answer: "),
    ):
        judge(endpoint.url)([problem(0)], ["0"])


def test_time_is_bounded():
    hold = threading.Event()

    def script(call):
        hold.wait(20)
        return Response("Score: 1")

    with serving(script) as endpoint:
        with pytest.raises(ConfigError, match=r"no answer.*timed out"):
            judge(endpoint.url, timeout=0.2)([problem(0)], ["0"])
        hold.set()


def test_threads_share_one_client_and_its_bound():
    with serving(lambda call: Response("Score: 1", delay=0.02)) as endpoint:
        reward = judge(endpoint.url, concurrency=2)
        with ThreadPoolExecutor(2) as pool:
            parts = list(
                pool.map(lambda n: reward([problem(n)] * 5, [f"{n}{i}" for i in range(5)]), range(2))
            )
    assert parts == [[1.0] * 5] * 2 and len(endpoint.calls) == 10 and endpoint.busiest <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [({"verdict": "("}, "judge.verdict: not a regular"), ({"verdict": "a"}, "expected one group"),
     ({"scale": 0}, "judge.scale=0"), ({"cache_dir": "/dev/null/x"}, "judge.cache_dir")],
)  # fmt: skip
def test_wrong_settings_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        judge("http://localhost:1/v1", **options)


def test_a_template_needs_the_completion():
    with pytest.raises(ConfigError, match=r"judge\.user: it must contain {completion}"):
        LLMJudge(OpenAIWriter("m", "http://x", None), "Is {answer} right?")
    with pytest.raises(ConfigError, match=r"reward\.terms\.judge\.endpoint\.base_url=ftp"):
        OpenAIWriter("m", "ftp://x", None, key="reward.terms.judge.endpoint")
