"""`dry_run=true` on the training program: a page, and nothing else."""

import json
import os
import subprocess
import sys

import pytest
import torch
from fakes import TINY, TINY_RL, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.training.run import run

SFT = 'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]'


@pytest.fixture
def page(tmp_path, capsys):
    """The page that these overrides give."""

    def printed(*overrides):
        sizes = [o for o in TINY if not (o.startswith("model.") and "model=llada" in overrides)]
        cfg = composed([*sizes, *overrides, f"output_dir={tmp_path / 'run'}", "dry_run=true"])
        run(cfg)
        return capsys.readouterr().out

    return printed


def row(text, name):
    """The cells of the first line that starts with ``name``."""
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    return line.strip().removeprefix(name).split()


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m", "algo=grpo,igpo", "sweep_dir=s"]])
def test_the_program_prints_both_stages_and_writes_nothing(tmp_path, sweep):
    command = [sys.executable, "-m", "igpo_lightning.train", "dry_run=true", *TINY, *TINY_RL, SFT, *sweep]
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for text in ("stage 1 of 2: sft", "stage 2 of 2: igpo", "fits into", "both stages: about"):
        assert text in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.name != "tmp"] == []


def test_the_work_of_a_rollout(page):
    text = page(*TINY_RL, SFT)
    # 4 prompts x 4 completions x 4 steps; μ = 2; micro-batches of 2 prompts; 2 canvases a completion
    assert row(text, "sampling, first tries")[:4] == ["2", "4", "64", "128"]
    assert row(text, "sampling, second tries")[:7] == ["2", "≤", "4", "≤", "64", "≤", "128"]
    assert row(text, "log-probs of the reference")[:4] == ["2", "8", "64", "128"]
    assert "2 rollouts, 32 completions and up to as many second tries, 4 updates" in text
    assert "4 updates, 32 rows (1.3 epochs)" in text


def test_a_saved_model_without_second_tries(page, tmp_path):
    tiny_policy().save(tmp_path / "base")
    text = page("algo=grpo", f"model.path={tmp_path / 'base'}", *TINY_RL, "algo.rollouts=3")
    assert "stage" not in text and "second tries" not in text and "!" not in text
    assert row(text, "trained")[-3:] == ["100.00%", "of", "all"]


LLADA = {
    "model_type": "llada", "vocab_size": 500, "d_model": 64, "n_layers": 6, "n_heads": 4, "n_kv_heads": 4,
    "mlp_hidden_size": 96, "max_sequence_length": 64, "rope_theta": 1e4, "rms_norm_eps": 1e-5,
    "weight_tying": False, "eos_token_id": 1, "pad_token_id": 1, "mask_token_id": 2,
}  # fmt: skip


@pytest.fixture
def published(tmp_path):
    """A folder with nothing but the config of a LLaDA."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLADA))
    rl = [o for o in TINY_RL if not o.startswith("algo.prompts")]
    return [
        "model=llada",
        "prompt=plain",
        f"model.path={folder}",
        *rl,
        "algo.prompts_per_micro_batch=1",
        "algo.prompts_per_rollout=8",
    ]


def test_a_config_alone_is_enough_for_eight_gpus_that_are_not_here(page, published):
    lora = "model.lora={rank: 2, alpha: 4, targets: [q_proj]}"
    text = page(*published, lora, "hardware=zero2", "hardware.devices=8", "sampler.length=32")
    block = 4 * 64 * 64 + 3 * 64 * 96 + 2 * 64
    assert row(text, "parameters")[0] == f"{6 * block + 2 * 500 * 64 + 64:,}"
    assert "no tokenizer that can be read" in text and "no weights there" in text
    assert "about 24 training problems" in text
    assert "DeepSpeed ZeRO-2, 8 a node" in text
    assert "not known: hardware asks for GPUs" in text or torch.cuda.is_available()
    # 8 prompts over 8 processes, 4 completions each, 4 steps
    assert row(text, "sampling, first tries")[1:3] == ["4", "16"]


@pytest.mark.parametrize("overrides, message", [
    (["hardware=zero2", "hardware.devices=3"], "algo.prompts_per_rollout=4"),
    (["algo.num_iterations=0"], "algo.num_iterations=0"),
    (["model.lora={rank: 2, alpha: 4, targets: [nothing]}"], "model.lora.targets"),
    (["data.max_prompt=2"], "more than data.max_prompt=2"),
    (["resume=nowhere.ckpt"], "resume=nowhere.ckpt"),
])  # fmt: skip
def test_what_a_run_refuses(page, overrides, message):
    with pytest.raises(Exception) as refused:
        page(*TINY_RL, "algo.warm_start=null", *overrides)
    error = refused.value
    while not isinstance(error, ConfigError):
        error = error.__cause__
    assert message in str(error)


def test_a_folder_that_holds_a_run(page, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "provenance.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a run already"):
        page(*TINY_RL)


def test_what_does_not_fit_is_said_with_the_keys_that_help(page, monkeypatch):
    monkeypatch.setattr("igpo_lightning.preflight.memory._available", lambda placement: (1e5, "100 kB"))
    text = page(*TINY_RL, "algo.warm_start=null")
    assert "DOES NOT FIT into 100 kB. What helps: algo." in text and "model.lora" in text


def test_supervised_fine_tuning_with_adapters(page):
    text = page(
        "algo=sft", "algo.steps=6", "algo.batch_size=4", "model.lora={rank: 2, alpha: 4, targets: [q_proj]}"
    )
    assert row(text, "LoRA parameters, rank 2") == ["64", "float32"]  # 2 x (16 + 16), one block
    assert row(text, "updates")[:4] == ["6", "1", "4", "24"]
