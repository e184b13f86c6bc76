import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torch
from fakes import compose
from omegaconf import OmegaConf, open_dict
from lightning.pytorch.strategies import DeepSpeedStrategy
from igpo_lightning.training import build

def main():
    folder = Path(sys.argv[1])
    kind = sys.argv[2]
    cfg = compose(folder, *sys.argv[3:])
    with open_dict(cfg):
        cfg.reward = OmegaConf.create({"_target_": "fakes.HashReward", "share": 0.2})
        two = {"accelerator": "cpu", "devices": 2, "num_nodes": 1, "precision": "32-true"}
        if kind.startswith("zero"):
            cfg.hardware = {**two, "strategy": {"_target_": "cpu_strategies.CPUDeepSpeed", "stage": int(kind[4]), "process_group_backend": "gloo", "zero_optimization": True, "reduce_bucket_size": 100000, "allgather_bucket_size": 100000}}
        elif kind == "ddp":
            cfg.hardware = {**two, "strategy": {"_target_": "lightning.pytorch.strategies.DDPStrategy", "process_group_backend": "gloo"}}
        elif kind == "fsdp":
            cfg.hardware = {**two, "strategy": {"_target_": "lightning.pytorch.strategies.ModelParallelStrategy", "process_group_backend": "gloo", "data_parallel_size": 2, "tensor_parallel_size": 1}}
    module, data, trainer = build(cfg)
    windows, run = [], data.engine.run
    data.engine.run = lambda *args: windows.append(run(*args)) or windows[-1]
    norms = []
    from lightning.pytorch.callbacks import Callback
    class Norms(Callback):
        def on_train_batch_end(self, trainer, *a):
            if isinstance(trainer.strategy, DeepSpeedStrategy):
                norms.append(trainer.strategy.deepspeed_engine.get_global_grad_norm())
            else:
                norms.append(trainer.callback_metrics.get("train/grad_norm"))
    trainer.callbacks.append(Norms())
    trainer.fit(module, datamodule=data)
    print(kind, trainer.global_step, [None if n is None else float(n) for n in norms], {k: float(v) for k, v in trainer.callback_metrics.items() if "loss" in k or "grad" in k})
    torch.save({"completions": [w.completions for w in windows]}, folder / f"{kind}-{trainer.global_rank}.pt")

main()
