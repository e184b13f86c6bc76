"""What a user may get wrong on the command line: one line that says so, before anything heavy is loaded."""

import importlib
import shlex

import pytest

from igpo_lightning import cli

TRAIN = {
    # a group's option, or a key
    "algo=igpoo": "did you mean igpo or",
    "model=llda": "did you mean llada",
    "data=gsm8": "did you mean gsm8k?",
    "hardware=zero4": "did you mean zero3 or zero2 or zero1?",
    "logger=wandbb": "did you mean wandb?",
    "sampler=papr": "did you mean paper?",
    "prompt=igpoo": "did you mean igpo?",
    "reward=mth": "did you mean math?",
    "experiment=quickstrt": "did you mean quickstart?",
    "sweep=jobli": "did you mean joblib?",
    "algo/logprobs=meanfield": "did you mean mean_field?",
    "algo.num_generatons=8": "did you mean algo.num_generations",
    "modell.path=x": "did you mean model.path",
    "seeed=3": "did you mean seed",
    "model.lora.rank=8": "with model=tiny; it exists with model=dream",
    # of another type
    "algo.num_generations=abc": "expected a whole number",
    "seed=abc": "expected a number",
    "evaluate=maybe": "expected true or false",
    "algo.optimizer.lr=abc": "expected a number",
    "algo.trainer.gradient_clip_val=abc": "expected a number",
    "warm_start=[algo.stepz=5]": """'warm_start=["algo.stepz=5"]'""",
    # out of range
    "algo.num_generations=1": "it takes at least 2",
    "algo.num_iterations=0": "at least 1",
    "algo.rollouts=0": "at least 1",
    "algo.prompts_per_rollout=-4": "at least 1",
    "algo.prompts_per_micro_batch=0": "at least 1",
    "algo=sft algo.batch_size=0": "at least 1",
    "algo=sft algo.steps=0": "at least 1",
    "algo.inpaint.ratio=[0.6,0.2]": "did you mean [0.2,0.6]?",
    "algo.inpaint.ratio=1.5": "at most 1",
    "algo.inpaint.replace=2": "from 0 to 1",
    "algo.inpaint.chunk=[10,5]": "did you mean [5,10]?",
    "algo.token_filter.top_entropy_quantile=-0.1": "from 0 to 1",
    "algo.loss.importance_sampling_level=tokn": "token, sequence",
    "algo.loss.epsilon=-1": "at least 0",
    "algo.loss.beta=-0.1": "at least 0",
    "algo.optimizer.lr=-1": "at least 0",
    "sampler.length=0": "at least 1",
    "sampler.temperature=-1": "at least 0",
    "data.val_size=-1": "at least 0",
    "data.split_seed=-1": "at least 0",
    "data.on_long=shorten": "expected one of cut, drop, error",
    "data.on_other_split=ignore": "expected one of error, warn",
    "data.source.train_size=-3": "at least 0",
    "data.source.steps=[3,1]": "did you mean [1,3]?",
    "callbacks.checkpoint.every=0": "at least 1",
    "callbacks.finite.action=explode": "warn, skip, stop",
    "callbacks.watchdog.timeout=-1": "above 0",
    "hardware.devices=0": "a count of at least 1",
    "hardware.precision=fp8": "32-true, bf16-mixed",
    # at odds with one another
    "sampler.block_length=5": "nearest: 2 or 7",
    "sampler.steps=3": "nearest: 2 or 4",
    "algo.prompts_per_rollout=7 hardware=cpu_ddp": "multiple of the 2 processes; nearest: 6",
    "model.create.heads=3": "must divide hidden_size=64",
    "model.lora={rank:8}": "alpha is missing",
    "model.lora={rank:0,alpha:4,targets:[q_proj]}": "at least 1",
    "reward.correctness=nothing": "expected one of accuracy",
    "algo.optimizer.betas=[0.9,1.5]": "two numbers of at least 0 and below 1",
    "hardware.strategy=ddpp": "choose hardware=ddp",
    "hardware.accelerator=gpuu": "auto, cpu, gpu",
    # none, or empty
    "seed=null": "seed=null: expected a number",
    "model=null": "choose one; model is one of",
    "prompt.user=null": "prompt.user=null: expected a text",
    "prompt.user=hello": "prompt.user: it must contain {question}",
    "sampler.length=null": "sampler.length=null: expected a whole number",
    "algo.optimizer.lr=null": "algo.optimizer.lr=null: expected a number",
    "data.val_size=null": "data.val_size=null: expected a whole number",
    "data.on_long=drpo": "data.on_long=drpo: expected one of",
    "resume=": "nothing stands after the =",
    # of a form that other programs take
    "+experiment=quickstart": "experiment is there already; leave out the +",
    "hardware.devices=0,1": "or give a list: hardware.devices=[0,1]",
    "model=GSAI-ML/LLaDA-8B-Instruct": "given as model.path=GSAI-ML/LLaDA-8B-Instruct",
    "data=mine.jsonl": "given as data.path=mine.jsonl",
    "callbacks.samples=false": "set a key inside it, or null for none",
    # in need of quotes
    "resume=runs/b/epoch=1-step=9.ckpt": """'resume="runs/b/epoch=1-step=9.ckpt"'""",
    "output_dir=~/b": """'output_dir="~/b"'""",
    "resume=4": "resume=4: no such file or folder",
    # a class, or its arguments
    "algo.loss._target_=igpo_lightning.algos.losses.ClipSurrogate": "losses.ClippedSurrogate",
    "algo.optimizer._target_=torch.optim.AdmW": "did you mean torch.optim.AdamW",
    "+algo.loss.epsilonn=0.3": "did you mean algo.loss.epsilon",
    "+hardware.max_epochs=3": "hardware.max_epochs: here it is algo.",
    # the stage before
    "'warm_start=[\"algo.stepz=5\"]'": "warm_start: unknown key 'algo.stepz'; did you mean algo.steps?",
    "'warm_start=[\"data.val_size=2\"]'": "warm_start: data.val_size=2: only algo.* of the first stage",
    "algo.warm_start=sftt": "algo.warm_start=sftt: no such option; did you mean sft?",
    # flags
    "--seed=3": "did you mean seed=3?",
    "--lr 1e-4": "--lr: no such flag",
    "--cfg jobs": "invalid choice: 'jobs'",
    "--cfg job --package algoo": "--package algoo: no such node; did you mean algo",
    "--config-dir absent": "--config-dir absent: no such folder",
    "--config-path conf": "no such folder",
    "--config-name absent": "absent",
    "seed=0,1": "add -m",
    "-m seed=0,1 output_dir=x": "a sweep gives its jobs their folders; sweep_dir=",
    "-m seed=0,1 sweep_dir=/etc/passwd/x": "sweep_dir=/etc/passwd/x: /etc/passwd is no folder",
    "-m sweep_dir= seed=0": "nothing stands after the =",
    # not there
    "data=gsm8k": "data.path has no default",
    "data=gsm8k data.path=/nope": "no such file or folder",
    "data=jsonl data.train_path=/nope.jsonl": "no such file or folder",
    "model.path=/nonexistent/folder": "no such folder",
    "model.path=/etc/passwd": "is a file",
    "model.path=/etc": "no config.json",
    "resume=absent.ckpt": "no such file",
    "output_dir=/etc/passwd/x": "no folder that can be written to",
}


EVALUATE = {
    "benchmarks_dir=8": "benchmarks_dir=8: no such file or folder",
    "rescore=true": "rescore=true: no such file or folder",
    "model.path=runs/a=b/model": """'model.path="runs/a=b/model"'""",
    "benchmark=gsm8k,amc": "benchmark=[gsm8k,amc]",
    "benchmark=gsm8": "did you mean gsm8k?",
    "algo=igpo": "unknown key 'algo'",
    "limit=0": "at least 1",
}
REWRITE = {
    "": "rewriter.model has no default",
    "rewriter.model=m output_dir=": "nothing stands after the =",
    "rewriter.model=m tokenizer=null": "tokenizer=null",
    "rewriter.model=m rules.user=hello": "rules.user: it must contain {question}",
    "rewriter.model=m length=0": "at least 1",
    "rewriter.model=gpt#4": """'rewriter.model="gpt#4"'""",
    "model=m": "here it is rewriter.model",
}
EXPORT = {
    "absent output_dir=x": "absent: no such folder",
    "run=absent output_dir=x": "absent: no such folder",
    "8 output_dir=x": "8: no such folder",
    ". output_dir=x": ".: no runs in it; give the folder of one",
    ". output_dir=x dtype=fp16": "float32, bfloat16",
    ". output_dir=x checkpoint=step=9.ckpt": """'checkpoint="step=9.ckpt"'""",
    ".": "output_dir has no default",
    "output_dir=x run=.": ".: no runs in it",
    "output_dir=x": "give a folder: python -m igpo_lightning.export FOLDER",
}
RESCORE = {
    ".": ".: no evaluations in it; give the folder of one",
    ". reward=mth": "did you mean math?",
    ". seed=3": "seed=3: expected reward=NAME or reward.KEY=VALUE",
}
PROGRAMS = {"train": TRAIN, "evaluate": EVALUATE, "rewrite": REWRITE, "export": EXPORT, "rescore": RESCORE}
WRONG = [
    # Each composes a whole config: one in three is a fast test, all of them are slow ones.
    pytest.param(program, line, message, marks=[pytest.mark.slow] if place % 3 else [])
    for program, lines in PROGRAMS.items()
    for place, (line, message) in enumerate(lines.items())
]


@pytest.mark.parametrize(("program", "line", "message"), WRONG)
def test_one_line_that_says_so(program, line, message, tmp_path, monkeypatch, capsys):
    def ran(*args):
        raise AssertionError("the run was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [program, *shlex.split(line)])
    monkeypatch.setattr(cli.Job, "__call__", ran)
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"igpo_lightning.{program}").main()
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len(said) == 1 and said[0].startswith("error: ") and message in said[0]
    assert list(tmp_path.iterdir()) == []
