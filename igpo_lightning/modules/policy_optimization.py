"""Policy optimisation (GRPO, IGPO and kin): one micro-batch of a rollout window in, a loss out.

Which algorithm it is, is decided by the objects it is given. The rollouts come from the
RolloutDataModule, through this module's ``policy``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..types import LossInputs, RolloutBatch
from .base import DiffusionModule

# Metrics of a window that add up over processes; all others are averaged.
COUNTS = {
    *("replaced", "triggered", "resampled", "resampled_correct"),
    *("completions", "generated_tokens", "row_forwards"),
}


class PolicyOptimization(DiffusionModule):
    """μ clipped updates per rollout window.

    Args:
        logprobs: The estimator that the rollout engine used for the old log-probs.
        loss: LossInputs → (loss, metrics).
        **common: See :class:`DiffusionModule`.
    """

    def __init__(self, *, logprobs, loss, **common: Any):
        super().__init__(**common)
        self.logprobs, self.loss = logprobs, loss
        self._rollout: dict[str, float] = {}
        self._sampled_at: int | None = None  # updates before the present window
        self.policy.disable_dropout()
        if loss.needs_reference:
            self.policy.keep_reference()

    def compute_loss(self, batch: RolloutBatch) -> Tensor:
        estimate = self.logprobs(self.policy, batch, batch.inner)
        inputs = LossInputs(
            logps=estimate.logps,
            old_logps=batch.view("old_logps"),
            ref_logps=batch.view("ref_logps"),
            advantages=batch.advantages,
            mask=batch.view("keep"),
            unfiltered=batch.loss_mask & estimate.scored,
        )
        loss, metrics = self.loss(inputs)
        self.accumulate({"loss": loss.detach(), **metrics})
        if batch.inner == 0 and batch.slot == 0:
            self._rollout = self._over_ranks(batch.metrics)
            self._sampled_at = self.trainer.global_step
        if self.trainer.global_step == self._sampled_at:  # still the policy that sampled: it must be 0
            drift = (inputs.logps.detach() - inputs.old_logps).masked_fill(~inputs.mask, 0.0)
            self.accumulate({"drift_max": drift.abs().amax()})
        return loss

    def on_train_batch_end(self, outputs: Any, batch: RolloutBatch, batch_idx: int) -> None:
        updated = self.trainer.global_step != self._logged_step
        if updated and (drift := self._sums.pop("drift_max", None)):  # of the window, not of every update
            self._rollout |= self.reduce({"drift_max": max(drift)}, "max")
        super().on_train_batch_end(outputs, batch, batch_idx)
        if updated and self._rollout:
            metrics = {f"rollout/{name}": value for name, value in self._rollout.items()}
            self._rollout = {}
            self.log_dict(metrics, logger=False, batch_size=1)  # for callbacks and schedulers
            # Straight to the loggers: Lightning would repeat the values at every update of the window.
            for logger in self.loggers:
                logger.log_metrics(metrics, step=self._logged_step - 1)  # this update's number, from 0

    def _over_ranks(self, metrics: dict[str, float]) -> dict[str, float]:
        """Means (sums for counts) over all processes, in one collective."""
        mean = self.reduce(metrics, "mean")
        world = self.trainer.world_size
        result = {name: value * world if name in COUNTS else value for name, value in mean.items()}
        if result["resampled"]:
            result["hint_success"] = result["resampled_correct"] / result["resampled"]
        return result
