import json
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from igpo_lightning.checks import ConfigError, check_config
from igpo_lightning.config import composed
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import Gsm8k, Math, MetaMath, OpenR1, Table, WordProblems

CONF = Path(__file__).resolve().parents[3] / "conf"
SHARED = {
    *("name", "source", "sft_source", "tokenizer", "cache_dir", "split_seed", "val_size", "test_size"),
    *("on_bad_row", "on_long", "on_mask_token", "on_missing_answer", "on_other_split"),
    *("decontaminate", "benchmarks_dir"),
}


def data_config(*overrides):
    return composed([*overrides, "output_dir=out"])


@pytest.fixture
def files(tmp_path):
    row = {"question": "1 + 1 ?", "answer": "<<1+1=2>>2\n#### 2", "q": "x", "trace": "#### 2"}
    rows = [json.dumps({**row, "question": f"{i} + 1 ?", "q": f"{i}"}) for i in range(9)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    (tmp_path / "test.jsonl").write_text(json.dumps({**row, "question": "held out"}))
    items = [{"input": f"{i}", "process": "The answer is 2.", "label": "2"} for i in range(9)]
    (tmp_path / "train_algebra_.json").write_text(json.dumps(items))
    concise = [{"id": f"c/{i}", "prompt": f"{i}", "trace": "#### 2", "answer": "2"} for i in range(9)]
    (tmp_path / "concise.jsonl").write_text("\n".join(map(json.dumps, concise)))
    meta = [{"query": f"{i}", "original_question": f"{i}", "type": "GSM_AnsAug"} for i in range(9)]
    rows = [{**row, "response": "The answer is: 2"} for row in meta]
    (tmp_path / "MetaMathQA.json").write_text(json.dumps(rows))
    made = {"generations": ["#### 2"], "is_reasoning_complete": [True], "correctness_math_verify": [True]}
    rows = [{"problem": f"{i}", "answer": "2", **made} for i in range(9)]
    (tmp_path / "openr1.json").write_text(json.dumps(rows))
    return tmp_path


CASES = {
    "gsm8k": (Gsm8k, ["data.path={0}", "data.val_size=2"], 7, 3),
    "math": (Math, ["data.path={0}", "data.val_size=1", "data.test_size=2"], 6, 3),
    "jsonl": (
        Table,
        [
            "data.train_path={0}/train.jsonl",
            "data.val_size=1",
            "data.test_size=1",
            "data.source.columns.prompt=q",
        ],
        7,
        2,
    ),
    "hf": (
        Table,
        [
            "data.path={0}/train.jsonl",
            "data.columns={{prompt: q, trace: trace}}",
            "data.val_size=1",
            "data.test_size=1",
        ],
        7,
        2,
    ),
    "openr1_concise": (Table, ["data.path={0}/concise.jsonl", "data.val_size=1", "data.test_size=1"], 7, 2),
    "metamath": (MetaMath, ["data.path={0}/MetaMathQA.json", "data.val_size=1", "data.test_size=1"], 7, 2),
    "openr1": (OpenR1, ["data.path={0}/openr1.json", "data.val_size=1", "data.test_size=1"], 7, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_file_sources_are_built_and_reused_for_fine_tuning(name, files):
    kind, overrides, train, heldout = CASES[name]
    cfg = data_config(f"data={name}", *(o.format(files) for o in overrides))
    assert set(cfg.data) >= SHARED
    assert cfg.sampler.length == 256, "traces of this kind need the long canvas"
    for key in ("source", "sft_source"):
        source = instantiate(cfg.data[key])
        assert isinstance(source, kind) and len(source.train) == train
        assert len(source.val) + len(source.test) == heldout


def test_the_canvas_of_a_data_set_can_still_be_chosen(files):
    assert data_config("data=gsm8k", f"data.path={files}", "sampler=tiny").sampler.length < 256


def test_word_problems_fit_their_canvas_and_differ_only_in_agreement():
    cfg = data_config("data=word_problems", "data.source.trace=verbose", "data.source.steps=[1,3]", "seed=5")
    source, sft_source = instantiate(cfg.data.source), instantiate(cfg.data.sft_source)
    assert isinstance(source, WordProblems) and isinstance(sft_source, WordProblems)
    for same in ("steps", "people", "max_number", "trace", "seed", "split_seed"):
        assert getattr(source, same) == getattr(sft_source, same)
    assert (source.trace, source.steps, source.seed, source.split_seed) == ("verbose", (1, 3), 5, 0)
    assert (source.agreement, source.explicit) == (1.0, 0.0)
    assert sft_source.agreement < 0.7 and sft_source.explicit > 0
    default = data_config("data=word_problems")
    tokenizer = instantiate(default.data.tokenizer)(instantiate(default.data.source))
    rows = instantiate(default.data.sft_source).train[:200]
    assert len(Encoder(tokenizer, max_response=default.sampler.length).encode_all(rows).prompts) == 200


def test_every_data_config_has_the_same_keys():
    names = sorted(path.stem for path in (CONF / "data").glob("[!_]*.yaml"))
    words = (
        "code countdown countdown_hub gsm8k gsm_symbolic hf jsonl math metamath openr1 openr1_concise sudoku "
    )
    words += "word_problems"
    assert names == words.split()
    assert all(set(data_config(f"data={name}").data) >= SHARED for name in names)


def test_rewritten_traces_that_are_not_there_name_the_command_that_makes_them():
    cfg = data_config("data=openr1_concise", "algo=sft")
    check_config(cfg)  # it composes before they are made
    with pytest.raises(InstantiationException) as caught:
        instantiate(cfg.data.sft_source)
    message = str(caught.value.__cause__)
    assert message.startswith("data.path=rewrites/openr1/concise.jsonl: no such file")
    assert "it is made by: python -m igpo_lightning.rewrite data=openr1" in message


@pytest.mark.parametrize("name", ["metamath", "openr1"])
def test_hub_ids_are_no_missing_files(name):
    check_config(data_config(f"data={name}"))
    with pytest.raises(ConfigError, match=r"data.path=absent/rows.jsonl: no such file .*nor a hub id"):
        check_config(data_config(f"data={name}", "data.path=absent/rows.jsonl"))
