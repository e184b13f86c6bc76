"""Rows in the published formats, and the gold answers that they state."""

import json
import re

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import find_conf
from igpo_lightning.evaluation.benchmarks import Benchmark, digest

GSM8K = {"question": "How many?", "answer": "48/2 = <<48/2=24>>24\n#### 1,072"}
MATH = {
    "problem": "Where?",
    "solution": "\\boxed{9}",
    "answer": "\\frac{1}{2}",
    "subject": "Algebra",
    "level": 2,
}
MINERVA = {
    "problem": "How far?",
    "solution": "First \\boxed{1}, then \\boxed{4.5e33} erg",
    "type": "Astronomy",
}
AMC = {"id": 7, "question": "What is m?", "answer": 142.0, "url": "https://x/2022_AMC_12A"}
SIZES = {"gsm8k": 1319, "math500": 500, "minerva": 272, "amc": 83}


def published(name, **changes):
    node = OmegaConf.load(find_conf() / "benchmark" / f"{name}.yaml")
    return instantiate(OmegaConf.merge(node, {"folder": None, **changes}), _convert_="all")


def file(folder, *rows):
    path = folder / "test.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name, row, question, answer, meta", [
    ("gsm8k", GSM8K, "How many?", "1072", {}),
    ("math500", MATH, "Where?", "\\frac{1}{2}", {"level": "2", "subject": "Algebra"}),
    ("minerva", MINERVA, "How far?", "4.5e33", {"subject": "Astronomy"}),
    ("minerva", {"question": "How far?", "answer": "4.5e33"}, "How far?", "4.5e33", {}),
    ("amc", AMC, "What is m?", "142", {}),
    ("amc", {"problem": "What is m?", "answer": 0.5}, "What is m?", "0.5", {}),
])  # fmt: skip
def test_question_and_gold_answer(tmp_path, name, row, question, answer, meta):
    [problem] = published(name, path=str(file(tmp_path, row))).problems()
    assert (problem.id, problem.prompt, problem.answer) == (f"{name}/0", question, answer)
    assert problem.meta == meta


def test_one_folder_for_all_and_a_path_of_its_own(tmp_path):
    file(tmp_path / "amc", AMC)
    own = file(tmp_path / "own", {**AMC, "answer": 3})
    assert published("amc", folder=str(tmp_path)).problems()[0].answer == "142"
    assert published("amc", folder=str(tmp_path), path=str(own)).problems()[0].answer == "3"
    with pytest.raises(ConfigError, match=r"benchmarks_dir=.*gsm8k: no such file or folder"):
        published("gsm8k", folder=str(tmp_path)).problems()


@pytest.mark.parametrize("name, row, message", [
    ("gsm8k", {"question": "x", "answer": "it is 3"}, r"test.jsonl:2: field 'answer' must end in a line"),
    ("minerva", {"problem": "x", "solution": "it is 3"}, r"test.jsonl:2: field 'solution' states no answer"),
    ("math500", {"problem": "x"}, r"test.jsonl:2: no field 'answer'"),
    ("amc", {"answer": 3}, r"test.jsonl:2: no field 'question'"),
    ("amc", {"question": "x", "answer": [3]}, r"test.jsonl:2: field 'answer' must be a text or a number"),
])  # fmt: skip
def test_a_bad_row_is_left_out_and_named_by_file_and_line(tmp_path, name, row, message):
    good = {"gsm8k": GSM8K, "minerva": MINERVA, "math500": MATH, "amc": AMC}[name]
    problems, errors = published(name, path=str(file(tmp_path, good, row))).read()
    assert len(problems) == 1 and len(errors) == 1 and re.search(message, str(errors[0]))
    with pytest.raises(ConfigError, match=message.replace(":2:", ":1:")):
        published(name, path=str(file(tmp_path / "alone", row))).problems()


@pytest.mark.parametrize("code, said", [
    ("np.arcsin(10/13)", r"\arcsin(10/13)"),
    ("2*np.sqrt(3) + numpy.pi**2", r"2*\sqrt{3} + \pi^2"),
    ("math.log(2)/np.log10(5)", r"\ln(2)/\log_{10}(5)"),
    (r"\arcsin{1.3 \sin{\theta_w}}", r"\arcsin{1.3 \sin{\theta_w}}"),
    ("np.unknown(2)", "np.unknown(2)"),
])  # fmt: skip
def test_golds_in_code_are_read_as_mathematics(tmp_path, code, said):
    row = {"problem": "x", "solution": f"so \\boxed{{{code}}}"}
    assert published("minerva", path=str(file(tmp_path, row))).problems()[0].answer == said


@pytest.mark.parametrize("changes, message", [
    ({"samples": 0}, "benchmark.mine.samples=0"),
    ({"temperature": -1}, "benchmark.mine.temperature=-1"),
    ({"answer": {"answer": "guess"}}, "answer: unknown way 'guess'; known: hashes, boxed, plain"),
    ({"name": "a/b"}, "benchmark name 'a/b'"),
])  # fmt: skip
def test_settings_that_cannot_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        Benchmark(**{"name": "mine", "question": "q", "answer": {"answer": "plain"}, **changes})


def test_without_a_source():
    with pytest.raises(ConfigError, match=r"benchmark\.mine\.path: give a file"):
        Benchmark("mine", "q", {"a": "plain"}).problems()


def test_the_digest_is_of_what_is_asked_and_not_of_the_file(tmp_path):
    rows = published("amc", path=str(file(tmp_path, AMC))).problems()
    again = published("amc", path=str(file(tmp_path, {"problem": AMC["question"], "answer": 142}))).problems()
    other = published("amc", path=str(file(tmp_path, {**AMC, "answer": 143}))).problems()
    assert digest(rows) == digest(again) != digest(other)


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files(real_data, name):
    problems = published(name, path=str(real_data(name))).problems()
    assert len(problems) == SIZES[name] and all(p.prompt and p.answer for p in problems)
    assert len({p.id for p in problems}) == SIZES[name]
