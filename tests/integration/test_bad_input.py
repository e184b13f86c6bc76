"""Bad input through the whole of configuration, construction and set-up: one clear line each."""

import json

import pytest
from fakes import TINY, TINY_RL, rollout_fit, tiny_policy, trainer

from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.train import main

EMBEDDED = [o for o in TINY if o.startswith(("data.source", "++data"))]
SIZES = [o for o in TINY if o not in EMBEDDED]
GOOD = {"prompt": "What is 1 + 2 ?", "trace": "1 + 2 = 3 #### 3", "answer": "3"}


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """The one line that the program refuses these overrides with."""

    def refused(*overrides):
        options = [*SIZES, *TINY_RL, "algo.warm_start=null", f"hydra.run.dir={tmp_path / 'run'}", *overrides]
        quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]  # handlers would outlive this test
        monkeypatch.setattr("sys.argv", ["igpo-train", *quiet, *options])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert not (tmp_path / "run").exists()  # it leaves nothing
        return lines[0].removeprefix("error: ")

    return refused


def own(folder, *lines, **changes):
    """Overrides for a file of eight good rows and then ``lines``, or one further row with ``changes``."""
    good = [{**GOOD, "prompt": f"What is 1 + 2 ? {i}"} for i in range(8)]
    rows = [json.dumps(row) for row in good] + list(lines)
    if changes:
        rows.append(json.dumps({**GOOD, "prompt": "Which ?", **changes}))
    path = folder / "own.jsonl"
    path.write_text("\n".join(rows))
    return (
        "data=jsonl",
        f"data.train_path={path}",
        "data.val_size=1",
        "data.test_size=1",
        "data.tokenizer.vocab_size=300",
    )


@pytest.mark.parametrize("line, message", [
    ('{"prompt": "x", "trace": ', "own.jsonl:9: malformed JSON"),
    ('{"prompt": "x", "trace": "#### 3"}', "own.jsonl:9: no field 'answer'"),
    ('{"prompt": "x", "trace": [], "answer": "3"}', "own.jsonl:9: field 'trace' must be a text, got list"),
    ('["x"]', "own.jsonl:9: expected a JSON object"),
])  # fmt: skip
def test_a_malformed_row_is_named_by_file_and_line(refusal, tmp_path, line, message):
    assert message in refusal(*own(tmp_path, line))


def test_a_missing_file(refusal, tmp_path):
    message = refusal("data=jsonl", f"data.train_path={tmp_path / 'absent.jsonl'}")
    assert "train_path" in message and "absent.jsonl: no such file" in message


def test_a_trace_longer_than_the_canvas(refusal, tmp_path):
    trace = "1 + 1 + 1 = 3 ; " * 8 + "#### 3"
    message = refusal(*own(tmp_path, trace=trace), "data.on_long=error")
    assert (
        "own.jsonl:9: problem jsonl/train/8: the trace has" in message
        and "the canvas holds 16 (sampler.length)" in message
    )


def test_a_trace_that_does_not_end_in_its_answer(refusal, tmp_path):
    message = refusal(*own(tmp_path, answer="4"))
    place = f"{tmp_path / 'own.jsonl'}:9: problem jsonl/train/8"
    assert message.startswith(f"{place}: the trace says '3' last, but the answer is '4'")


@pytest.mark.parametrize("override, message", [
    ("algo.num_generations=1", "algo.num_generations=1: advantages are relative to the group's mean reward"),
    ("sampler.steps=3", "sampler.steps=3: must be a multiple of the 2 blocks"),
    ("algo.prompts_per_rollout=0", "algo.prompts_per_rollout=0: expected a whole number of at least 1"),
    ("algo.updates_per_iteration=3", "updates_per_iteration=3: must divide the 2 micro-batches of a pass"),
    ("resume=absent.ckpt", "resume=absent.ckpt: no such file"),
    ("model.lora={rank: 2, alpha: 4, targets: [query]}", "model.lora.targets: ['query'] match no"),
    ("data.source.train_size=3", "algo.prompts_per_rollout: 4 asked for at once"),
])  # fmt: skip
def test_settings_that_cannot_work(refusal, override, message):
    assert message in refusal(*EMBEDDED, override)


def test_weights_of_another_model(refusal, tmp_path):
    tiny_policy().save(tmp_path / "model")
    word_level([f"w{i}" for i in range(400)]).save_pretrained(tmp_path / "model")
    assert "tokens but the model embeds only" in refusal(f"model.path={tmp_path / 'model'}", *EMBEDDED)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "hidden_size": 24}))
    message = refusal(f"model.path={tmp_path / 'model'}", *EMBEDDED)
    assert "do not fit its config.json" in message and "another model" in message


def test_a_checkpoint_of_another_model(refusal, tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    fitted = trainer(tmp_path)
    fitted.fit(module, datamodule=data)
    fitted.save_checkpoint(tmp_path / "other.ckpt")
    message = refusal(f"resume={tmp_path / 'other.ckpt'}", "model.create.hidden_size=24", *EMBEDDED)
    assert message.startswith(f"resume={tmp_path / 'other.ckpt'}: ") and "another model" in message
