"""A small finished run, written by hand: SFT in ``sft/``, then IGPO in the run folder itself."""

import json

import pytest

IGPO_ROWS = """epoch,rollout/all_wrong_after,rollout/all_wrong_before,rollout/completions,\
rollout/hint_success,rollout/hinted,rollout/resampled,rollout/resampled_correct,rollout/reward,\
rollout/reward_before,step,train/kl,val/accuracy
0,0.0,0.5,32,0.4,2,10,4,0.5,0.25,1,0.0,
0,,,,,,,,,,2,0.002,
0,0.25,0.75,64,0.6,3,30,18,0.75,0.5,3,0.004,
0,,,,,,,,,,4,nan,
,,,,,,,,,,4,,0.3
"""

SFT_ROWS = """epoch,step,train/loss,val/loss,val/token_accuracy
0,0,3.0,,
0,1,2.0,,
0,1,,2.5,0.25
"""


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "run"
    for stage, rows in ((folder / "sft", SFT_ROWS), (folder, IGPO_ROWS)):
        (stage / "metrics").mkdir(parents=True)
        (stage / "metrics" / "metrics.csv").write_text(rows)
    sft = {"name": "sft", "folder": "sft", "seconds": 61.0, "accuracy_before": {"value": 0.0, "n": 100}}
    sft["accuracy_after"] = {"value": 0.2, "n": 100}
    igpo = {"name": "igpo", "folder": ".", "seconds": 75.0, "accuracy_before": {"value": 0.2, "n": 100}}
    igpo |= {"accuracy_after": {"value": 0.5, "n": 100}, "test": {"value": 0.4, "n": 200}}
    igpo |= {"updates": 4, "completions": 64}
    summary = {"stages": [sft, igpo], "seconds": 140.0, "title": "IGPO on <tiny>"}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.yaml").write_text("seed: 7\nname: <b>\n")
    (folder / "provenance.json").write_text('{"commit": "abc123"}')
    sample = {
        "rollout": 0,
        "prompt": "1 < 2 & 3?",
        "answer": "7",
        "reward": 1.0,
        "correct": True,
        "inpainted": True,
    }
    sample["pieces"] = [["so ", False], ["<4> ", True], ["#### 7", False]]
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    return folder
