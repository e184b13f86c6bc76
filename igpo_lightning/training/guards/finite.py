"""NaN and infinity, from the reward to the gradient."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle

from ...checks import positive_int
from ...distributed import gather, gather_objects
from .base import SKIP, STOP, Action, Guard

# In the order of cause and effect: the first one that is not finite is the one to look at.
QUANTITIES = ("reward", "logits of sampling", "old log-probs", "reference log-probs", "logits of training",
              "loss", "gradients")  # fmt: skip
_TERM = "reward/"


class FiniteGuard(Guard):
    """Alarm when a reward, a logit, a log-prob, the loss or a gradient is NaN or infinite.

    The quantities of all micro-batches are looked at where they arise, without waiting for the
    device; all processes compare them once per update, and find the same first culprit.

    Under DeepSpeed gradients can't be seen. It drops an update whose gradient norm is not finite by
    itself; this guard then counts it, with the same consequences.

    Args:
        patience: So many alarms in a row call for ``stop`` where the action is ``skip``.
    """

    name = "finite"

    def __init__(self, action: Action = SKIP, patience: int = 3, repeat_every: int = 1) -> None:
        super().__init__(action, repeat_every)
        self.patience = positive_int(f"callbacks.{self.name}.patience", patience)
        self._marks: dict[str, Tensor] = {}  # 0-d, NaN once the quantity was not finite
        self._hook: RemovableHandle | None = None
        self._found = False  # in this update
        self._dropped_before = 0  # updates, by DeepSpeed

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._marks.clear()
        self._hook = pl_module.policy.register_forward_hook(self._see_logits)
        self._dropped_before = getattr(trainer.model, "skipped_steps", 0)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._hook is not None:
            self._hook.remove()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if (rewards := getattr(batch, "rewards", None)) is None:
            return
        self._see("reward", rewards)
        for name, values in batch.parts.items():
            self._see(f"{_TERM}{name}", values)
        if batch.step_probability is not None:  # of tokens: also where a session leaves the forward pass out
            self._see("logits of sampling", batch.step_probability)
        for quantity, field in (("old log-probs", "old_logps"), ("reference log-probs", "ref_logps")):
            if (logps := batch.of_iteration(field)) is not None:
                self._see(quantity, logps.masked_fill(~batch.of_iteration("loss_mask"), 0.0))

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Tensor) -> None:
        self._see("loss", loss.detach())

    def _see_logits(self, policy: Any, inputs: Any, output: Any) -> None:
        values = getattr(output, "logps", output)  # a policy may return scores of tokens instead of logits
        if torch.is_grad_enabled() and isinstance(values, Tensor) and values.numel():
            # The maximum, not the sum: -inf is a legal logit of a token that must not be drawn.
            self._see("logits of training", values.detach().amax())

    def _see(self, quantity: str, values: Tensor) -> None:
        self._marks[quantity] = self._marks.get(quantity, 0) + (values * 0).sum().float()  # 0, or NaN

    def inspect_update(self, trainer: Trainer, pl_module: Any) -> str | None:
        grads = _local_gradients(pl_module)
        # In float16 gradients are infinite until the loss's scale is found: the scaler drops those updates.
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        seeks = scaler is not None and scaler.get_scale() > 1
        if not seeks and (sizes := [grad for grad in grads.values() if grad.numel()]):
            # The largest absolute value: the 2-norm of large gradients is infinite, and they are not.
            self._see("gradients", torch.nn.utils.get_total_norm(sizes, norm_type=torch.inf))
        culprit, terms = self._culprit(pl_module.device), self._bad_terms()
        self._found = culprit is not None
        if culprit is None:
            return None
        self.in_a_row += 1
        quantity, rank = culprit
        if quantity == "gradients":
            bad = [name for name, grad in grads.items() if not grad.isfinite().all()]
            quantity += f" of {gather_objects(bad[:1], pl_module.device)[rank][0]}"
        elif quantity == "reward" and (bad := gather_objects(terms, pl_module.device)[rank]):
            quantity = f"reward term {', '.join(bad)}"
        where = f" on process {rank}" if trainer.world_size > 1 else ""
        return f"NaN or infinity in the {quantity}{where}"

    def _culprit(self, device: torch.device) -> tuple[str, int] | None:
        """The first quantity that was not finite in this update, and the first process where it was not."""
        fine = torch.zeros((), dtype=torch.float32, device=device)
        marks = torch.stack([self._marks.get(quantity, fine).to(device) for quantity in QUANTITIES])
        found = gather(marks, device).isnan().T.nonzero().tolist()
        return (QUANTITIES[found[0][0]], found[0][1]) if found else None

    def _bad_terms(self) -> list[str]:
        """Names of this process's reward terms that were not finite; forgets what was seen."""
        marks = {name: mark for name, mark in self._marks.items() if name.startswith(_TERM)}
        self._marks.clear()
        return [name.removeprefix(_TERM) for name, mark in marks.items() if mark.isnan()]

    def severity(self) -> str:
        return STOP if self.action == SKIP and self.in_a_row >= self.patience else self.action

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before, self._dropped_before = self._dropped_before, getattr(trainer.model, "skipped_steps", 0)
        if not self._ends_update or self._found:
            return
        guards = (callback for callback in trainer.callbacks if isinstance(callback, Guard))
        ours = any(guard.dropped == trainer.global_step - 1 for guard in guards)
        if self._dropped_before > before and not ours:
            self.in_a_row += 1
            self.alarm(trainer, pl_module, "DeepSpeed found NaN or infinity in the gradients", late=True)
        else:
            self.in_a_row = 0


def _local_gradients(pl_module: LightningModule) -> dict[str, Tensor]:
    """This process's gradients, or its shards of them (FSDP), by parameter."""
    grads = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
    return {name: grad.to_local() if isinstance(grad, DTensor) else grad for name, grad in grads.items()}
