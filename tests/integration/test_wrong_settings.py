"""What a user may get wrong on the command line: one line that says so, before anything heavy is loaded."""

import pytest

from igpo_lightning import cli
from igpo_lightning.train import main

WRONG = {
    # a group's option, or a key
    "algo=igpoo": "did you mean igpo or grpo?",
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
    "algo.group_sze=8": "did you mean algo.group_size?",
    "modell.path=x": "did you mean model.path",
    "seeed=3": "did you mean seed",
    "model.lora.rank=8": "with model=tiny; it exists with model=dream",
    # of another type
    "algo.group_size=abc": "expected a whole number",
    "seed=abc": "expected a number",
    "evaluate=maybe": "expected true or false",
    "algo.optimizer.lr=abc": "expected a number",
    "algo.trainer.gradient_clip_val=abc": "expected a number",
    "warm_start=[algo.stepz=5]": "no viable alternative",
    # out of range
    "algo.group_size=1": "it takes at least 2",
    "algo.inner_updates=0": "at least 1",
    "algo.windows=0": "at least 1",
    "algo.prompts_per_window=-4": "at least 1",
    "algo.prompts_per_step=0": "at least 1",
    "algo=sft algo.batch_size=0": "at least 1",
    "algo=sft algo.steps=0": "at least 1",
    "algo.inpaint.ratio=[0.6,0.2]": "did you mean [0.2,0.6]?",
    "algo.inpaint.ratio=1.5": "at most 1",
    "algo.inpaint.replace=2": "from 0 to 1",
    "algo.inpaint.placer.chunk=[10,5]": "did you mean [5,10]?",
    "algo.token_filter.fraction=-0.1": "from 0 to 1",
    "algo.loss.ratio=tokn": "token, sequence",
    "algo.loss.clip=-1": "at least 0",
    "algo.loss.kl=-0.1": "at least 0",
    "algo.optimizer.lr=-1": "at least 0",
    "sampler.length=0": "at least 1",
    "sampler.temperature=-1": "at least 0",
    "data.val_size=-1": "at least 0",
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
    "algo.prompts_per_window=7 hardware=cpu_ddp": "multiple of the 2 processes; nearest: 6",
    "model.create.heads=3": "must divide hidden_size=64",
    "model.lora={rank:8}": "alpha is missing",
    "model.lora={rank:0,alpha:4,targets:[q_proj]}": "at least 1",
    "reward.correctness=nothing": "expected one of accuracy",
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


@pytest.mark.parametrize("line", WRONG)
def test_one_line_that_says_so(line, tmp_path, monkeypatch, capsys):
    def ran(*args):
        raise AssertionError("the run was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train", *line.split()])
    monkeypatch.setattr(cli.Job, "__call__", ran)
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len(said) == 1 and said[0].startswith("error: ") and WRONG[line] in said[0]
    assert list(tmp_path.iterdir()) == []
