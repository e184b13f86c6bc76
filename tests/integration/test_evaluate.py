"""The evaluation program: a tiny saved model, and small files in the published formats."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import source, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.evaluate import main
from igpo_lightning.evaluation import program
from igpo_lightning.evaluation.module import EvaluationModule

CANVAS = ["sampler.length=16", "sampler.block_length=8", "sampler.steps=4"]
FEW = ["benchmark=[gsm8k,amc]", "benchmark.amc.samples=3", "benchmark.amc.temperature=1.0"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Overrides that name a saved model and a folder of benchmarks with prompts of several lengths."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_policy().save(folder / "model")
    problems = source(val_size=0, test_size=11).test
    fields = [{"question": p.prompt, "answer": f"so\n#### {p.answer}"} for p in problems]
    write(folder / "data" / "gsm8k", fields)
    write(folder / "data" / "amc", [{"question": p.prompt, "answer": float(p.answer)} for p in problems[:4]])
    return [f"model.path={folder / 'model'}", f"benchmarks_dir={folder / 'data'}"]


def write(folder, rows):
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluate(folder, *overrides):
    chosen = [] if any(o.startswith("benchmark=") for o in overrides) else FEW
    cfg = composed([*CANVAS, *chosen, f"output_dir={folder}", *overrides], "evaluate")
    return program.run(cfg)


def files(folder):
    """What must not depend on how the run went: figures, and every completion."""
    names = ["results.json", "results.md", "generations/gsm8k.jsonl", "generations/amc.jsonl"]
    return {name: (folder / name).read_text() for name in names}


@pytest.fixture(scope="module")
def alone(places, tmp_path_factory):
    """The files of a run that decodes one completion at a time."""
    folder = tmp_path_factory.mktemp("alone")
    evaluate(folder, *places, "batch_size=1")
    return files(folder)


@pytest.mark.parametrize("size", [3, 64])
def test_the_batch_size_changes_nothing(places, alone, tmp_path, size):
    evaluate(tmp_path, *places, f"batch_size={size}")
    assert files(tmp_path) == alone


def test_what_a_run_leaves(places, alone, tmp_path):
    rows = [json.loads(line) for line in alone["generations/amc.jsonl"].splitlines()]
    assert [(r["id"], r["sample"]) for r in rows] == [(f"amc/{i}", g) for i in range(4) for g in range(3)]
    assert len({r["completion"] for r in rows}) > 4 and len({r["seed"] for r in rows}) == 12
    results = json.loads(alone["results.json"])
    assert [r["metric"] for r in results["results"]] == ["pass@1", "avg@3"]
    evaluate(tmp_path, *places, "limit=2")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["identity"] == results["identity"] and manifest["expected"] == {"gsm8k": 2, "amc": 6}
    [session] = manifest["sessions"]
    assert session["packages"]["torch"] and session["batch_size"] == 32 and session["seconds"] >= 0
    assert manifest["judge"]["correctness"] == "accuracy"


def test_a_run_that_was_killed_goes_on(places, alone, tmp_path, monkeypatch):
    steps = []

    def killed(self, batch, batch_idx):
        if len(steps) == 4:
            raise RuntimeError("out of power")
        steps.append(batch_idx)
        return step(self, batch, batch_idx)

    step = EvaluationModule.predict_step
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationModule, "predict_step", killed)
        with pytest.raises(RuntimeError, match="out of power"):
            evaluate(tmp_path, *places, "batch_size=3")
    parts = list((tmp_path / "generations").glob("*.part"))
    for part in parts:  # the last line was being written
        part.write_text(part.read_text()[:-20])
    calls = []
    monkeypatch.setattr(EvaluationModule, "predict_step", lambda *args: calls.append(args[1]) or step(*args))
    evaluate(tmp_path, *places, "batch_size=3")
    assert parts and files(tmp_path) == alone
    finished = len(calls)
    evaluate(tmp_path, *places, "batch_size=3")
    assert len(calls) == finished, "nothing is done twice"
    assert len(json.loads((tmp_path / "manifest.json").read_text())["sessions"]) == 3


def test_an_evaluation_of_something_else_is_refused(places, tmp_path):
    evaluate(tmp_path, *places, "limit=1")
    before = files(tmp_path)
    tiny_policy(seed=1).save(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"model\.sha256 is \w{12}… there, \w{12}… now\); name another"):
        evaluate(tmp_path, *places, "limit=1", f"model.path={tmp_path / 'other'}")
    with pytest.raises(ConfigError, match=r"prompt\.sha256 .*; sampler\.steps is 4 there, 8 now"):
        evaluate(tmp_path, *places, "prompt=llada", "sampler.steps=8")
    assert files(tmp_path) == before


def test_saved_completions_can_be_judged_again(places, tmp_path):
    assert evaluate(tmp_path, *places, "benchmark=[gsm8k]") == 0
    path = tmp_path / "generations" / "gsm8k.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[4]["completion"] = f"it is \\boxed{{{rows[4]['gold']}.0}}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = program.run(composed([f"rescore={tmp_path}"], "evaluate"))
    assert again == pytest.approx(1 / 11)
    judged = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["correct"] for row in judged] == [i == 4 for i in range(11)]
    assert judged[4]["answer"] == f"{rows[4]['gold']}.0"
    assert "9.1%" in (tmp_path / "results.md").read_text()


def test_figures_are_of_what_the_command_asked_for_and_what_else_there_is_is_told(places, tmp_path, capsys):
    few, heat = ["benchmark=[gsm8k]", "benchmark.gsm8k.temperature=1.0"], "benchmark.gsm8k.samples="

    def asked(*overrides):
        evaluate(tmp_path, *places, *few, *overrides)
        return told()

    def told():
        [result] = json.loads((tmp_path / "results.json").read_text())["results"]
        line = f"gsm8k: the folder holds {result['further']} more completions, which were not asked for"
        assert (line in capsys.readouterr().out) == (line in (tmp_path / "results.md").read_text())
        assert (line in (tmp_path / "results.md").read_text()) == (result["further"] > 0)
        return result["metric"], *(result["score"][key] for key in ("problems", "completions"))

    assert asked(f"{heat}3", "limit=5") == ("avg@3", 5, 15)
    assert asked(f"{heat}4", "limit=2") == ("avg@4", 2, 8)
    assert asked(f"{heat}2") == ("avg@2", 11, 22)
    assert asked(f"{heat}1", "limit=4") == ("pass@1", 4, 4)
    program.run(composed([f"rescore={tmp_path}"], "evaluate"))
    assert told() == ("pass@1", 4, 4)
    assert len((tmp_path / "generations" / "gsm8k.jsonl").read_text().splitlines()) == 15 + 2 + 12


def test_a_hotter_sampler_lets_a_greedy_benchmark_be_sampled(places, tmp_path):
    evaluate(tmp_path, *places, "benchmark=[gsm8k]", "benchmark.gsm8k.samples=2", "sampler.temperature=0.7",
             "limit=1")  # fmt: skip
    assert json.loads((tmp_path / "results.json").read_text())["results"][0]["metric"] == "avg@2"


def test_what_is_missing_is_told_wherever_figures_are(places, tmp_path, capsys):
    evaluate(tmp_path, *places, "limit=2")
    generations = tmp_path / "generations"
    (generations / "gsm8k.jsonl").unlink()
    (generations / "gsm8k.0.part").write_text('{"id": "gsm8k/0", "sam')  # as a kill leaves it
    rows = (generations / "amc.jsonl").read_text().splitlines(keepends=True)
    (generations / "amc.jsonl").write_text("".join(rows[:4]))
    capsys.readouterr()
    program.run(composed([f"rescore={tmp_path}"], "evaluate"))
    for text in (capsys.readouterr().out, (tmp_path / "results.md").read_text()):
        assert "gsm8k is incomplete: 0 of 2 completions." in text
        assert "amc is incomplete: 4 of 6 completions." in text
    (generations / "amc.jsonl").write_text("")
    with pytest.raises(ConfigError, match="no completions in its folder generations"):
        program.run(composed([f"rescore={tmp_path}"], "evaluate"))
    evaluate(tmp_path, *places, "limit=2")
    assert "incomplete" not in capsys.readouterr().out


def test_without_a_folder_the_same_command_finds_its_own(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = [*places, "output_dir=null", "limit=1"]  # the folder is named after model, prompt, ...
    evaluate("unused", *common)
    evaluate("unused", *common, "benchmark=[gsm8k]")
    evaluate("unused", *common, "seed=1")
    assert sorted(len(list(p.glob("generations/*"))) for p in Path("evaluations").glob("tiny-*")) == [2, 2]


def test_a_benchmark_of_ones_own_is_one_file(program_run, tmp_path, capsys):
    conf = tmp_path / "conf" / "benchmark"
    conf.mkdir(parents=True)
    write(tmp_path / "data", [{"q": "How many ?", "a": "3", "kind": "easy"}])
    (conf / "mine.yaml").write_text(
        "# @package benchmark.mine\n_target_: igpo_lightning.evaluation.benchmarks.Benchmark\n"
        f"name: mine\npath: {tmp_path / 'data'}\nquestion: q\nanswer: {{a: plain}}\ngroups: {{kind: kind}}\n"
    )
    own = ["--config-dir", str(tmp_path / "conf")]
    program_run("benchmark=mine", f"output_dir={tmp_path / 'out'}", flags=own)
    assert "| mine " in capsys.readouterr().out
    assert "mine by kind" in (tmp_path / "out" / "results.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "data", "out"]


@pytest.fixture
def program_run(places, tmp_path, monkeypatch):
    """The program as it is called from the command line, in an empty folder."""

    def call(*overrides, flags=()):
        quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]  # handlers would outlive this test
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["evaluate", *flags, *quiet, *CANVAS, *places, *overrides])
        main()

    return call


@pytest.mark.parametrize("overrides, message", [
    (["benchmark=[gsm8k,amk]"], "benchmark=[gsm8k,amk]: no such option; did you mean amc?"),
    (["benchmark.gsm8k.pth=x"], "unknown key 'benchmark.gsm8k.pth'; did you mean benchmark.gsm8k.path?"),
    (["benchmark=[]"], "benchmark: choose at least one"),
    (["model.path=null"], "model.path: give the folder of a trained model"),
    (["limit=0"], "limit=0: expected a whole number of at least 1"),
    (["batch_size=0"], "batch_size=0: expected a whole number of at least 1"),
    (["sampler.temperature=0"], "benchmark.amc.samples=16: at sampler.temperature=0 they would all be"),
    (["benchmark.gsm8k.samples=2"], "benchmark.gsm8k.samples=2: at benchmark.gsm8k.temperature=0 they"),
    (["model.lora={rank: 2, alpha: 4, targets: [q_proj]}"], "model.lora: nothing is trained here; give the"),
    (["reward=countdown", "benchmark=[amc]"], "problem amc/0 has no 'numbers', which "),
    (["hardware=zero3"], "hardware: evaluation keeps a whole model on every device; choose cpu, gpu or"),
    (["hardware.strategy=fsdp"], "hardware: evaluation keeps a whole model on every device; choose cpu,"),
    (["sampler.steps=3"], "sampler.steps=3: must be a multiple of the 2 blocks"),
    (["~benchmark.amc.answer"], "benchmark.amc: "),
    (["rescore=/nowhere"], "rescore=/nowhere: no such file or folder"),
])  # fmt: skip
def test_bad_input_is_one_line(program_run, tmp_path, capsys, overrides, message):
    with pytest.raises(SystemExit) as stop:
        program_run(*overrides)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code == 2 and len(errors) == 1 and message in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_change_nothing(places, alone, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "igpo_lightning.evaluate", "hardware=cpu_ddp", "batch_size=3",
         *CANVAS, *FEW, *places, f"output_dir={tmp_path / 'out'}"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == alone
    assert done.stdout.count("| gsm8k ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_paper_commands_compose():
    cfg = composed(["model=llada", "model.path=RUN/model", "hardware=ddp"], "evaluate")
    assert list(cfg.benchmark) == ["gsm8k", "math500", "minerva", "amc"]
    assert (cfg.sampler.length, cfg.sampler.block_length, cfg.sampler.steps) == (256, 32, 128)
    assert cfg.sampler.temperature is None and cfg.prompt.name == "igpo"
    assert [(b.samples, b.temperature) for b in cfg.benchmark.values()] == [(1, 0)] * 3 + [(16, 0.1)]
