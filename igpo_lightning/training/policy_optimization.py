"""Policy optimisation (GRPO, IGPO and kin): one micro-batch of a rollout in, a loss out.

Which algorithm it is, is decided by the object it is given. The rollouts come from the
RolloutDataModule, through this module's ``policy``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..algos import Algorithm
from ..algos.logprobs import Draw, score, weights
from ..algos.losses import LossInputs
from ..models import Policy
from ..types import Rollout
from .module import DiffusionModule

# Metrics of a rollout that add up over processes; all others are averaged.
COUNTS = {
    *("replaced", "triggered", "resampled", "resampled_correct"),
    *("completions", "generated_tokens", "row_forwards"),
}


class PolicyOptimization(DiffusionModule):
    """μ iterations over each rollout.

    Args:
        policy: The weights.
        algorithm: All the pieces; the same object as the DataModule's.
    """

    def __init__(self, policy: Policy, algorithm: Algorithm):
        super().__init__(policy, algorithm)
        self.logprobs, self.loss = algorithm.logprobs, algorithm.loss
        self._rollout: dict[str, float] = {}
        self._slope: Tensor | None = None
        self.policy.disable_dropout()
        if self.loss.needs_reference:
            self.policy.keep_reference()

    def compute_loss(self, rollout: Rollout) -> Tensor:
        if rollout.first:
            self._rollout = self._over_ranks(rollout.metrics)
        draws = self.logprobs.draws(rollout, rollout.iteration)
        if rollout.part is not None:
            return self._part_of_loss(rollout, draws, *rollout.part)
        logps = score(self.policy, rollout, draws).logps
        loss, metrics = self.loss(self._inputs(rollout, draws, logps))
        self.accumulate({"loss": loss.detach(), **metrics})
        self._watch_drift(rollout, logps, 0)
        return loss

    def _part_of_loss(self, rollout: Rollout, draws: list[Draw], start: int, stop: int) -> Tensor:
        """A scalar with the loss's exact gradient through the draws [start, stop) alone.

        The loss is a function of all draws' log-probs, and need not be a sum over them. Its slope, dL/dlogps
        [P, G, D, C], is taken once, at the present log-probs and without the policy's graph; each part then
        sends its share of it through the policy. Before a rollout's first update the present log-probs
        are the old ones.
        """
        if start == 0:
            fresh = self.trainer.global_step == rollout.version
            logps = rollout.of_iteration("old_logps") if fresh else self._present(rollout, draws)
            logps = logps.detach().clone().requires_grad_()
            loss, metrics = self.loss(self._inputs(rollout, draws, logps))
            self.accumulate({"loss": loss.detach(), **metrics})
            (self._slope,) = torch.autograd.grad(loss, logps)
        logps = score(self.policy, rollout, draws[start:stop]).logps
        self._watch_drift(rollout, logps, start)
        # Summed over its parts, and not averaged as micro-batches are.
        return (logps * self._slope[:, :, start:stop]).sum() * len(self.algorithm.parts_of(len(draws)))

    @torch.no_grad()
    def _present(self, rollout: Rollout, draws: list[Draw]) -> Tensor:
        return torch.cat([score(self.policy, rollout, [draw]).logps for draw in draws], dim=2)

    def _inputs(self, rollout: Rollout, draws: list[Draw], logps: Tensor) -> LossInputs:
        learnt = self.algorithm.learnt(rollout)
        totals, trainer = rollout.update_tokens[0], self.trainer
        micro_batches = trainer.accumulate_grad_batches // len(self.algorithm.parts_of(len(draws)))
        return LossInputs(
            logps=logps,
            old=rollout.of_iteration("old_logps"),
            ref=rollout.of_iteration("ref_logps"),
            mask=rollout.of_iteration("loss_mask"),
            unfiltered=learnt.unsqueeze(2) & torch.stack([d.scored.expand_as(learnt) for d in draws], 2),
            weight=weights(rollout, draws),
            advantages=rollout.advantages,
            rewards=rollout.rewards,
            update_tokens=totals[rollout.iteration % len(totals)],
            parts=micro_batches * trainer.world_size,
        )

    def _watch_drift(self, rollout: Rollout, logps: Tensor, start: int) -> None:
        """Before a rollout's first update the policy is still the one that sampled: drift must be 0."""
        if self.trainer.global_step == rollout.version:
            part = slice(start, start + logps.shape[2])
            mask = rollout.of_iteration("loss_mask")[:, :, part]
            drift = logps.detach() - rollout.of_iteration("old_logps")[:, :, part]
            self.accumulate({"drift_max": drift.masked_fill(~mask, 0.0).abs().amax()})

    def on_train_batch_end(self, outputs: Any, batch: Rollout, batch_idx: int) -> None:
        updated = self.trainer.global_step != self._logged_step
        if updated and (drift := self._sums.pop("drift_max", None)):  # of the rollout, not of every update
            self._rollout |= self.reduce({"drift_max": max(drift)}, "max")
        super().on_train_batch_end(outputs, batch, batch_idx)
        if updated and self._rollout:
            metrics = {f"rollout/{name}": value for name, value in self._rollout.items()}
            self._rollout = {}
            self.log_dict(metrics, logger=False, batch_size=1)  # for callbacks and schedulers
            # Straight to the loggers: Lightning would repeat the values at every update of the rollout.
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
