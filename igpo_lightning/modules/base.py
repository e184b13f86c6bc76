"""What the stages share: a policy, its optimiser, running means, and validation by decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import torch

from ..checks import ConfigError
from ..evaluation.decoding import decode
from ..models import Policy
from ..types import Prompt


class DiffusionModule(L.LightningModule):
    """A policy under training.

    Args:
        policy: The weights.
        optimizer: parameters → optimiser.
        scheduler: optimiser → learning-rate scheduler, stepped after every update; None keeps it constant.
        sampler: Decodes held-out prompts (greedily) for validation.
        reward: Judges what was decoded.
        seed: Of all draws.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: Callable[..., torch.optim.Optimizer],
        sampler,
        reward,
        scheduler: Callable[..., Any] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.policy = policy
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.decoder, self.reward, self.seed = sampler.greedy(), reward, seed
        self._sums: dict[str, list[float]] = {}
        self._logged_step = 0

    def configure_optimizers(self):
        trainable = [p for p in self.policy.parameters() if p.requires_grad]
        optimizer = self.make_optimizer(trainable)
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model by name; sharded strategies load their weights themselves."""
        own, saved = self.state_dict(), checkpoint.get("state_dict")
        if saved is None:
            return
        shapes, expected = ({name: value.shape for name, value in state.items()} for state in (saved, own))
        wrong = sorted(name for name in {*own, *saved} if shapes.get(name) != expected.get(name))
        if wrong:
            raise ConfigError(
                f"resume={self.trainer.ckpt_path}: a checkpoint of another model: {len(wrong)} tensors are "
                f"missing, unknown or of another shape, e.g. {wrong[0]}"
            )

    def on_train_start(self) -> None:
        self._sums.clear()
        self._logged_step = self.trainer.global_step

    def accumulate(self, metrics: dict[str, Any]) -> None:
        """Remember a micro-batch's metrics; their mean over the update is logged with its last one."""
        for name, value in metrics.items():
            self._sums.setdefault(name, []).append(float(value))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for p in self.policy.parameters() if p.grad is not None]
        if grads:
            self.accumulate({"grad_norm": torch.nn.utils.get_total_norm(grads)})

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.global_step == self._logged_step:
            return  # still accumulating gradients
        self._logged_step = self.trainer.global_step
        for name, value in self.update_metrics().items():
            self.log(f"train/{name}", value, batch_size=1)
        self._sums.clear()

    def update_metrics(self) -> dict[str, float]:
        """Of the update under way, over its micro-batches so far: means, or the largest of ``*_max``."""
        return {
            name: max(values) if name.endswith("_max") else sum(values) / len(values)
            for name, values in self._sums.items()
        }

    def validation_step(self, prompts: Sequence[Prompt], batch_idx: int) -> None:
        self._decode(prompts, "val")

    def test_step(self, prompts: Sequence[Prompt], batch_idx: int) -> None:
        self._decode(prompts, "test")

    def _decode(self, prompts: Sequence[Prompt], stage: str) -> None:
        result = decode(self.policy, self.decoder, self.reward, prompts, seed=self.seed)
        for name, value in result.means().items():
            self.log(f"{stage}/{name}", value, on_epoch=True, sync_dist=True, batch_size=len(prompts))
