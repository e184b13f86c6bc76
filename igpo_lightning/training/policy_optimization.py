"""Policy optimisation (GRPO, IGPO and kin): one micro-batch of a rollout in, a loss out.

Which algorithm it is, is decided by the object it is given. The rollouts come from the
RolloutDataModule, through this module's ``policy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..algos import Algorithm
from ..algos.logprobs import Draw, check_blocks, score, weights
from ..algos.losses import LossInputs, Share, policy_metrics
from ..checks import ConfigError
from ..contracts import pair, refuse, tensor
from ..models import Policy
from ..types import Rollout
from .module import DiffusionModule
from .strategies import splits_weights
from .tally import over_processes

# Metrics of a rollout that add up over processes; all others are averaged.
COUNTS = {
    *("swapped", "others"),
    *("replaced", "triggered", "resampled", "resampled_correct", "resampled_hinted", "hinted"),
    *("completions", "generated_tokens", "row_forwards", "num_tokens", "verifier_timeouts"),
    "time/tokens_per_second",
}
SPLIT = (
    "algo.reference: one that moves can't follow weights that ZeRO-3 or FSDP splits over processes: take "
    "algo/reference=kept, or hardware=zero2 or ddp"
)
NO_REFERENCE = (
    "its rollout, which is not done yet, has no log-probs of the reference, as the loss asked for none "
    "(algo.loss.beta=0); repeat the former value, resume between two rollouts (after a multiple of {} "
    "updates), or start a new run from its weights by model.path"
)
# Means over something that a process may have none of: by what it has of it.
WEIGHTED = {"hint_tokens": "hinted"}
# Those that are the smallest or the largest of all processes'.
EXTREMES = {
    **dict.fromkeys(("advantage_min", "completions/min_length"), -1),
    **dict.fromkeys(("advantage_max", "completions/max_length"), 1),
}


class PolicyOptimization(DiffusionModule):
    """μ iterations over each rollout.

    Args:
        policy: The weights.
        algorithm: All the pieces; the same object as the DataModule's.
    """

    algorithm: Algorithm

    def __init__(self, policy: Policy, algorithm: Algorithm):
        super().__init__(policy, algorithm)
        self.logprobs, self.loss = algorithm.logprobs, algorithm.loss
        check_blocks(policy, algorithm.logprobs)
        self._rollout: dict[str, float] = {}
        # Of a micro-batch's prompts, for all the parts that its draws are trained in.
        self._draws: list[Draw] = []
        self._slope: Tensor | None = None
        self.policy.disable_dropout()
        if self.loss.needs_reference:
            self.policy.keep_reference(moves=algorithm.reference.moves)

    def configure_model(self) -> None:
        super().configure_model()
        if self.policy.moving is not None and splits_weights(self.trainer):
            raise ConfigError(SPLIT)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.policy.moving is not None:
            checkpoint["reference"] = self.policy.moving.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if self.policy.moving is not None:
            if "reference" not in checkpoint:
                raise ConfigError(
                    f"resume={self.trainer.ckpt_path}: it holds no moved reference, as its loss asked for "
                    "none (algo.loss.beta=0): start a new run from its weights by model.path"
                )
            self.policy.moving.load_state_dict(checkpoint["reference"])

    def on_train_start(self) -> None:
        super().on_train_start()
        resumed, each = self.datamodule.rollout, self.algorithm.updates_per_rollout
        unknown = resumed is not None and self.loss.needs_reference and resumed.ref_logps is None
        if unknown and self.trainer.global_step % each:
            raise ConfigError(f"resume={self.trainer.ckpt_path}: {NO_REFERENCE.format(each)}")

    def compute_loss(self, rollout: Rollout) -> Tensor:
        if rollout.first:
            self._rollout = self._over_ranks(rollout.metrics)
        if rollout.part is None or rollout.part[0] == 0:
            self._draws = self.logprobs.draws(rollout, rollout.iteration)
        if rollout.part is not None:
            return self._part_of_loss(rollout, self._draws, *rollout.part)
        logps = score(self.policy, rollout, self._draws).logps
        loss = self._loss(self._inputs(rollout, self._draws, logps))
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
            logps = _made(rollout, "old_logps") if fresh else self._present(rollout, draws)
            logps = logps.detach().clone().requires_grad_()
            loss = self._loss(self._inputs(rollout, draws, logps))
            (self._slope,) = torch.autograd.grad(loss, logps)
        logps = score(self.policy, rollout, draws[start:stop]).logps
        self._watch_drift(rollout, logps, start)
        assert self._slope is not None  # of the first part
        # Summed over its parts, and not averaged as micro-batches are.
        return (logps * self._slope[:, :, start:stop]).sum() * len(self.algorithm.parts_of(len(draws)))

    def _loss(self, inputs: LossInputs) -> Tensor:
        loss, metrics = pair("algo.loss", self.loss, self.loss(inputs), "a scalar and a dict of metrics")
        tensor("algo.loss", self.loss, loss, ())
        if not isinstance(metrics, Mapping):
            refuse("algo.loss", self.loss, metrics, "a dict of metrics")
        if bad := next((item for item in metrics.items() if not _is_metric(*item)), None):
            wanted = f"for {bad[0]!r}, if that is its name, a number, a tensor [] or a Share"
            refuse("algo.loss", self.loss, bad[1], wanted)
        self.accumulate({"loss": loss.detach(), **policy_metrics(inputs), **metrics})
        return loss

    @torch.no_grad()
    def _present(self, rollout: Rollout, draws: list[Draw]) -> Tensor:
        return torch.cat([score(self.policy, rollout, [draw]).logps for draw in draws], dim=2)

    def _inputs(self, rollout: Rollout, draws: list[Draw], logps: Tensor) -> LossInputs:
        learnt, trainer = self.algorithm.learnt(rollout), self.trainer
        assert rollout.advantages is not None and rollout.update_tokens is not None
        update_weight = rollout.update_weight
        micro_batches = trainer.accumulate_grad_batches // len(self.algorithm.parts_of(len(draws)))
        return LossInputs(
            logps=logps,
            old=_made(rollout, "old_logps"),
            ref=rollout.of_iteration("ref_logps"),
            mask=_made(rollout, "loss_mask"),
            unfiltered=learnt.unsqueeze(2) & torch.stack([d.scored.expand_as(learnt) for d in draws], 2),
            weight=weights(rollout, draws),
            advantages=rollout.advantages,
            rewards=rollout.rewards,
            update_tokens=_of_update(rollout.update_tokens, rollout),
            parts=micro_batches * trainer.world_size,
            hint_mask=rollout.hint_mask.unsqueeze(2),
            update_weight=None if update_weight is None else _of_update(update_weight, rollout),
        )

    def _watch_drift(self, rollout: Rollout, logps: Tensor, start: int) -> None:
        """Before a rollout's first update the policy is still the one that sampled: drift must be 0."""
        if self.trainer.global_step == rollout.version:
            part = slice(start, start + logps.shape[2])
            mask = _made(rollout, "loss_mask")[:, :, part]
            drift = logps.detach() - _made(rollout, "old_logps")[:, :, part]
            self.accumulate({"drift_max": drift.masked_fill(~mask, 0.0).abs().amax()})

    def on_train_batch_end(self, outputs: Any, batch: Rollout, batch_idx: int) -> None:
        updated = self.trainer.global_step != self._logged_step
        # Of the rollout, not of every update.
        if updated and (drift := self._tally.pop("drift_max")) is not None:
            self._rollout |= over_processes({"drift_max": drift}, {"drift_max": 1}, self.device)
        if updated and self.policy.moving is not None:
            reference, done = self.algorithm.reference, self.trainer.global_step
            if reference.due(done, self.algorithm.updates_per_rollout):
                self.policy.moving.move(self.policy.model, reference.alpha)
        super().on_train_batch_end(outputs, batch, batch_idx)
        if updated and self._rollout:
            self.publish("rollout", self._rollout)  # of the rollout, not of every update
            self._rollout = {}

    def _over_ranks(self, metrics: dict[str, float]) -> dict[str, float]:
        """Means over all processes, sums of counts, extremes."""
        sums = {name: metrics[name] * metrics[by] for name, by in WEIGHTED.items()}
        mean = over_processes(metrics | sums, EXTREMES, self.device)
        mean |= {name: mean[name] / (mean[by] or 1.0) for name, by in WEIGHTED.items()}
        world = self.trainer.world_size
        result = {name: value * world if name in COUNTS else value for name, value in mean.items()}
        if result["resampled"]:
            result["hint_success"] = result["resampled_correct"] / result["resampled"]
        return result


def _is_metric(name: Any, value: Any) -> bool:
    is_scalar = value.dim() == 0 if isinstance(value, Tensor) else isinstance(value, (int, float, Share))
    return isinstance(name, str) and is_scalar


def _made(rollout: Rollout, name: str) -> Tensor:
    """[P, G, D, C] of this iteration, that the engine has made."""
    value = rollout.of_iteration(name)
    assert value is not None
    return value


def _of_update(totals: Tensor, rollout: Rollout) -> Tensor:
    """[]: what the update of a micro-batch has of ``totals`` [P, μ or 1]; its prompts all have the same."""
    return totals[0, rollout.iteration % totals.shape[1]]
