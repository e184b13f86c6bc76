"""The training program with what tests need on its path; each process saves its rollouts beside the run.

python sharded_program.py OVERRIDE... output_dir=FOLDER
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cpu_strategies  # noqa: F401  # before anything else imports DeepSpeed
import torch

from igpo_lightning.rollout import RolloutEngine
from igpo_lightning.train import main

# Lightning starts the second process with this line and some words more.
folder = Path(next(word for word in sys.argv if word.startswith("output_dir=")).removeprefix("output_dir="))
run = RolloutEngine.run


def recorded(self, policy, prompts, index, *spares):
    batch = run(self, policy, prompts, index, *spares)
    rank = os.environ.get("LOCAL_RANK", "0")
    torch.save(
        {
            "completions": batch.tokens,
            "hints": batch.hint_mask,
            "triggered": torch.tensor([batch.metrics["triggered"]]),
        },
        folder / f"rollout-{index}-rank-{rank}.pt",
    )
    return batch


RolloutEngine.run = recorded

if __name__ == "__main__":
    main()
