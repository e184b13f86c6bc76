"""What is said before an evaluation reads any weights."""

import json

import pytest
from fakes import source, tiny_policy

from igpo_lightning import lineage
from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.data.tokenizers import MASK
from igpo_lightning.evaluation import program
from igpo_lightning.lineage import Split


@pytest.fixture
def places(tmp_path):
    """A model that no run has told of, and a benchmark with odd rows."""
    tiny_policy().save(tmp_path / "model")
    prompts = [p.prompt for p in source().test[:2]]
    rows = [{"question": p, "answer": 5.0} for p in (*prompts, f"Say {MASK} .", " ")]
    rows.append({"question": prompts[0], "answer": None})
    (tmp_path / "data" / "amc").mkdir(parents=True)
    (tmp_path / "data" / "amc" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def evaluate(places, *overrides):
    canvas = ["sampler.length=16", "sampler.block_length=8", "sampler.steps=4", "benchmark=[amc]"]
    canvas += [
        "benchmark.amc.samples=1",
        f"benchmarks_dir={places / 'data'}",
        f"model.path={places / 'model'}",
    ]
    cfg = composed([*canvas, f"output_dir={places / 'out'}", *overrides], "evaluate")
    return program.run(cfg)


def test_odd_rows_do_not_refuse_a_benchmark(places, capsys):
    evaluate(places)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("amc: 2 of its rows can't be judged and are left out, such as ")
    assert "test.jsonl:4: field 'question' is empty" in said[0]
    assert said[1] == f"amc: the text of amc/2 names the mask token '{MASK}'; it is read as plain text"
    rows = (places / "out" / "generations" / "amc.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["amc/0", "amc/1", "amc/2"]


def test_it_is_said_before_weights_are_read(places, capsys):
    (places / "model" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model\.path"):
        evaluate(places)
    assert f"names the mask token '{MASK}'" in capsys.readouterr().out


def test_training_sets_that_were_not_compared_are_named(places, capsys):
    splits = [Split.of("sft", source(), ["amc"]), Split.of("igpo", source(), [])]
    lineage.write(places / "model", splits)
    evaluate(places)
    wanted = "amc: the training problems of this model's igpo on word_problems were not compared with it"
    assert wanted in capsys.readouterr().out
