"""Measure how far the fine-tuned starts compute, and follow, their own traces.

python experiments/igpo_vs_grpo/start.py    # after run.py
"""

from __future__ import annotations

import operator
import re
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from igpo_lightning.config import find_conf
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.evaluation import decode
from igpo_lightning.models import load_policy

RUNS = Path(__file__).resolve().parents[2] / "runs" / "igpo_vs_grpo"
APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}
COUNT = 500


def consistency(texts: list[str]) -> tuple[float, float]:
    """(share of right equations, share of completions whose closing statement is their last result)."""
    equations = [re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", text) for text in texts]
    right = [APPLY[op](int(a), int(b)) == int(c) for found in equations for a, op, b, c in found]
    stated = [re.findall(r"#### (\d+)", text) for text in texts]
    closed = [bool(e and s) and e[-1][3] == s[-1] for e, s in zip(equations, stated, strict=True)]
    return sum(right) / len(right), sum(closed) / len(closed)


def main() -> None:
    with initialize_config_dir(str(find_conf()), version_base="1.3"):
        cfg = compose("train", ["experiment=igpo_vs_grpo", "output_dir=unused"])
    source, sampler, reward = (instantiate(part) for part in (cfg.data.source, cfg.sampler, cfg.reward))
    for folder in sorted(RUNS.glob("sft?")):
        policy = load_policy(str(folder / "model"))
        encoder = Encoder(policy.tokenizer, hints=False, mask_id=policy.mask_id)
        prompts = encoder.encode_all(source.test[:COUNT]).prompts
        result = decode(policy, sampler.greedy(), reward, prompts)
        right, closed = consistency(result.texts)
        accuracy = result.means()["accuracy"]
        print(f"{folder.name}: accuracy {accuracy:.3f}", end=", ")
        print(f"equations right {right:.3f}, closing consistent {closed:.3f}")


if __name__ == "__main__":
    main()
