"""A short run through the project's own configuration; rank r saves what it saw as ``rank<r>.pt``.

python ddp_program.py FOLDER OVERRIDE...
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from fakes import compose, weights
from omegaconf import OmegaConf, open_dict

from igpo_lightning.training import build


def main() -> None:
    folder = Path(sys.argv[1])
    cfg = compose(folder, *sys.argv[2:])
    with open_dict(cfg):
        cfg.reward = OmegaConf.create({"_target_": "fakes.HashReward", "share": 0.2})
    module, data, trainer = build(cfg)
    windows, run = [], data.engine.run
    data.engine.run = lambda *args: windows.append(run(*args)) or windows[-1]
    trainer.fit(module, datamodule=data)
    seen = {
        "completions": [w.completions for w in windows],
        "hints": [w.hint_mask for w in windows],
        "triggered": [w.metrics["triggered"] for w in windows],
        "weights": weights(module.policy),
        "updates": trainer.global_step,
        "logged": {name: float(value) for name, value in trainer.callback_metrics.items()},
    }
    torch.save(seen, folder / f"rank{trainer.global_rank}.pt")


if __name__ == "__main__":
    main()
