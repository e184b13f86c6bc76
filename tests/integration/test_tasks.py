"""Tasks beyond mathematics, from the command line's configuration to a trained model and its accuracy."""

import json
import sys

import pytest
from fakes import TINY, TINY_RL, tiny_policy
from openai_server import Response, serving

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.data.sources import Countdown
from igpo_lightning.evaluation import program
from igpo_lightning.training.run import build, run

SIZES = [*(o for o in TINY if not o.startswith(("data.source", "++data", "sampler"))), "logger=csv"]
MADE = ["data.source.train_size=32"]
WARM_START = 'warm_start=["algo.steps=2","algo.batch_size=4","algo.validate_every=2"]'
SFT = ["algo=sft", "algo.steps=4", "algo.batch_size=4", "algo.validate_every=2"]
LONG = ["sampler.length=32", "sampler.block_length=32", "sampler.steps=2"]
PROGRAM = "Square it.\n```python\ndef f(x):\n    return x * x\n```"
linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def config(folder, *overrides, of="train"):
    sizes = [*SIZES, "model=tiny", "hardware=cpu"] if of == "train" else []
    return composed([*sizes, f"output_dir={folder}", *overrides], of)


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def code(folder):
    tests = [["assert f(2) == 4", {"call": "f", "args": [n], "expected": n * n}] for n in range(30)]
    rows = [{"question": f"Square, {n} times.", "tests": tests[n], "trace": PROGRAM} for n in range(30)]
    return [f"data.train_path={jsonl(folder / 'code.jsonl', rows)}", "data.tokenizer.vocab_size=300", *LOCAL]


def saved(folder):
    """A model that knows few words, and nothing else."""
    tiny_policy().save(folder / "model-at-first")
    return str(folder / "model-at-first")


LOCAL = ["data.decontaminate=false", "data.cache_dir=null"]


@pytest.mark.parametrize("task", ["countdown", pytest.param("sudoku", marks=pytest.mark.slow)])
def test_fine_tuning_and_igpo_on_puzzles(tmp_path, task):
    assert 0 <= run(config(tmp_path, "algo=igpo", f"data={task}", *MADE, *TINY_RL, WARM_START)) <= 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["updates"] for stage in summary["stages"]] == [2, 4]
    assert json.loads((tmp_path / "data.json").read_text())["trained_on"] == 32


def test_hints_of_countdown_reach_the_canvas(tmp_path):
    """A rollout of an untrained model, where all groups are wrong: hints, and none that tells."""
    cfg = config(tmp_path, "algo=igpo", "data=countdown", *MADE, *TINY_RL, "algo.inpaint.ratio=1.0")
    module, data, trainer = build(cfg)
    trainer.fit(module, datamodule=data)
    assert data.rollout.metrics["triggered"] == 4 and data.rollout.second_tries
    for record in data.rollout.second_tries:
        steps = record.trace.partition(" #### ")[0].split(" ; ")
        hints = "".join(text for text, hint in record.pieces if hint).split()
        assert hints == " ; ".join([*steps[:-1], ""]).split()


@linux
def test_programs_are_run(tmp_path):
    cfg = config(tmp_path, "algo=igpo", "data=code", *code(tmp_path), *LONG, *TINY_RL, WARM_START)
    assert run(cfg) == 0.0
    module, data, _ = build(
        config(tmp_path / "b", "algo=grpo", "data=code", *code(tmp_path), *LONG, *TINY_RL)
    )
    problems = data.source.train[:2]
    scores = module.algorithm.reward(problems, [PROGRAM, "def f(x): return 4"])
    assert scores.correct.tolist() == [True, False] and data.source.val[0].task["tests"]


@pytest.mark.parametrize(("algo", "triggered"), [("grpo", 0), ("igpo", 0), ("grpo_resample", 4)])
def test_answers_alone_are_enough(tmp_path, algo, triggered):
    """Without traces IGPO is GRPO, and says so; all groups of this model are wrong."""
    rows = [{"prompt": f"{n} + {m} = ?", "answer": n + m} for n in range(6) for m in range(5)]
    own = [f"data.train_path={jsonl(tmp_path / 'a.jsonl', rows)}", *LOCAL, *LONG, *TINY_RL]
    module, data, trainer = build(
        config(tmp_path, f"algo={algo}", "data=jsonl", "model.path=" + saved(tmp_path), *own)
    )
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 4 and data.rollout.metrics["triggered"] == triggered
    told = "no problem has a trace: with nothing to inpaint, algo=igpo is algo=grpo here; algo=grpo_resample"
    assert data.describe().splitlines()[1].startswith(told)
    assert json.loads((tmp_path / "data.json").read_text())["kept_with"] == {"no trace": 22}


def test_without_traces_fine_tuning_says_so(tmp_path):
    with pytest.raises(ConfigError, match="it has no trace, and fine-tuning learns nothing else"):
        run(config(tmp_path, *SFT, "data=countdown", *MADE, "data.source.trace=none"))


@pytest.mark.parametrize("algo", [SFT, ["algo=grpo"]])
@pytest.mark.parametrize("reward", ["code", "countdown", "sudoku"])
def test_a_reward_of_another_task_is_refused_before_any_model_is_made(tmp_path, algo, reward):
    cfg = config(tmp_path, *algo, "data=word_problems", *MADE, f"reward={reward}")
    with pytest.raises(
        ConfigError, match=r"^reward: problem \S+ has no '\w+', which \w+ reads; .*of one task"
    ):
        build(cfg)


def test_a_judge_decides(tmp_path):
    pytest.importorskip("openai")
    user = '"Problem:\n{question}\n\nLong solution:\n{completion}\n\nFinal answer: {answer}\n"'
    with serving(
        lambda call: Response(f"Verdict: {'correct' if len(call.trace) % 2 else 'wrong'}")
    ) as endpoint:
        own = [f"reward.terms.judge.endpoint.base_url={endpoint.url}", "reward.terms.judge.endpoint.model=m"]
        own += ["reward.terms.judge.endpoint.api_key_env=null", f"reward.terms.judge.user={user}"]
        own += [f"reward.terms.judge.cache_dir={tmp_path / 'replies'}", "reward=llm_judge"]
        own += ["algo=grpo", "data=countdown", *MADE, *TINY_RL, f"model.path={saved(tmp_path)}"]
        run(config(tmp_path / "a", *own))
        asked = len(endpoint.calls)
        accuracy = run(config(tmp_path / "b", *own))
    assert asked > 16 and len(endpoint.calls) == asked  # the second run got all from the disk
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize("task", ["countdown", "sudoku"])
def test_published_test_sets_are_judged_by_the_rules(tmp_path, task):
    """The files of d1, at the size of two rows; the answers to be judged are put in place of the model's."""
    folder = tmp_path / "data" / task
    folder.mkdir(parents=True)
    if task == "countdown":
        jsonl(
            folder / "test.jsonl", [{"input": "30,100,93", "output": "23"}, {"input": "1,2,3", "output": "6"}]
        )
    else:
        lines = ["Puzzle,Solution", "3102200002100320,3142243142131324", "0140432014020000,2143432114323214"]
        (folder / "test.csv").write_text("\n".join(lines) + "\n")
    tiny_policy().save(tmp_path / "model")
    own = [
        f"benchmark=[{task}]",
        f"benchmarks_dir={tmp_path / 'data'}",
        f"model.path={tmp_path / 'model'}",
        *LONG,
    ]
    cfg = config(tmp_path / "e", *own, of="evaluate")
    assert cfg.prompt.name == task and program.run(cfg) == 0.0
    file = tmp_path / "e" / "generations" / f"{task}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    right = {"countdown": "#### 93 + 30 - 100", "sudoku": "<answer>\n3142243142131324\n</answer>"}
    rows[0]["completion"] = right[task]
    jsonl(file, rows)
    assert program.run(config(tmp_path / "e", *own, f"rescore={tmp_path / 'e'}", of="evaluate")) == 0.5
    judged = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["correct"] for row in judged] == [True, False] and judged[0]["answer"] in right[task]


def test_the_toys_canvas_holds_the_traces(tmp_path):
    cfg = config(tmp_path, "algo=sft", "data=countdown")
    source = Countdown(train_size=300, val_size=1, test_size=1)
    assert max(len(p.trace.split()) for p in source.train) + 1 == cfg.sampler.length == 20
