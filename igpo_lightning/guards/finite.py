"""NaN and infinity, from the reward to the gradient."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..checks import positive_int
from .base import SKIP, STOP, Guard, per_rank

# In the order of cause and effect: the first one that is not finite is the one to look at.
QUANTITIES = ("reward", "logits of sampling", "old log-probs", "reference log-probs", "logits of training",
              "loss", "gradients")  # fmt: skip
_BATCH = {"old log-probs": "old_logps", "reference log-probs": "ref_logps"}


class FiniteGuard(Guard):
    """Alarm when a reward, a logit, a log-prob, the loss or a gradient is NaN or infinite.

    The quantities of all micro-batches are looked at where they arise, without waiting for the
    device; all processes compare them once per update, and find the same first culprit.

    Under DeepSpeed gradients can't be seen. It drops an update whose gradient norm is not finite by
    itself; this guard then counts it, with the same consequences.

    Args:
        action, repeat_every: See :class:`Guard`.
        patience: So many alarms in a row call for ``stop`` where the action is ``skip``.
    """

    name = "finite"
    remembers = ("in_a_row",)

    def __init__(self, action: str = SKIP, patience: int = 3, repeat_every: int = 1) -> None:
        super().__init__(action, repeat_every)
        self.patience = positive_int(f"callbacks.{self.name}.patience", patience)
        self.in_a_row = 0
        self._marks: dict[str, Tensor] = {}  # 0-d, NaN once the quantity was not finite
        self._hook: RemovableHandle | None = None
        self._clean = True  # nothing was found in this update
        self._dropped_before = 0  # updates, by DeepSpeed

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._marks.clear()
        self._hook = pl_module.policy.register_forward_hook(self._see_logits)
        self._dropped_before = getattr(trainer.model, "skipped_steps", 0)

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self._unhook()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._unhook()

    def _unhook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if (rewards := getattr(batch, "rewards", None)) is None:
            return
        self._see("reward", rewards)
        for quantity, field in _BATCH.items():
            if (logps := batch.view(field)) is not None:
                self._see(quantity, logps.masked_fill(~batch.view("keep"), 0.0))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        self._see("loss", loss.detach())

    def _see_logits(self, policy: Any, inputs: Any, output: Any) -> None:
        values = getattr(output, "logps", output)  # a policy may return scores of tokens instead of logits
        if isinstance(values, Tensor) and values.numel():
            # The maximum, not the sum: -inf is a legal logit of a token that must not be drawn.
            kind = "training" if torch.is_grad_enabled() else "sampling"
            self._see(f"logits of {kind}", values.detach().amax())

    def _see(self, quantity: str, values: Tensor) -> None:
        mark = (values * 0).sum().float()  # 0, or NaN
        before = self._marks.get(quantity)
        self._marks[quantity] = mark if before is None else before + mark

    def inspect_update(self, trainer: pl.Trainer, pl_module: Any, batch: Any) -> str | None:
        if grads := [grad for grad in _local_gradients(pl_module).values() if grad.numel()]:
            # The largest absolute value: the 2-norm of large gradients is infinite, and they are not.
            self._see("gradients", torch.nn.utils.get_total_norm(grads, norm_type=torch.inf))
        finding = self._culprit(trainer, pl_module)
        self._clean = finding is None
        self.in_a_row += not self._clean
        return finding

    def _culprit(self, trainer: pl.Trainer, pl_module: Any) -> str | None:
        """The first quantity that was not finite in this update, and on which process."""
        fine = torch.zeros((), dtype=torch.float32, device=pl_module.device)
        marks = torch.stack([self._marks.get(q, fine).to(pl_module.device) for q in QUANTITIES])
        self._marks.clear()
        ranks = per_rank(pl_module, marks.isnan().float())
        for i, quantity in enumerate(QUANTITIES):
            for rank, bad in enumerate(ranks):
                if bad[i]:
                    detail = _first_bad_gradient(pl_module, rank) if quantity == "gradients" else ""
                    where = f" on process {rank}" if trainer.world_size > 1 else ""
                    return f"NaN or infinity in the {quantity}{detail}{where}"
        return None

    def severity(self) -> str:
        return STOP if self.action == SKIP and self.in_a_row >= self.patience else self.action

    def reset(self) -> None:
        self.in_a_row = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        dropped = self._dropped_by_deepspeed(trainer)
        if self._ends_update and self._clean:
            if dropped:
                self.in_a_row += 1
                self.alarm(trainer, pl_module, "DeepSpeed found NaN or infinity in the gradients", late=True)
            else:
                self.in_a_row = 0
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _dropped_by_deepspeed(self, trainer: pl.Trainer) -> bool:
        """Whether DeepSpeed found this update's gradients not finite, on all processes alike."""
        before, self._dropped_before = self._dropped_before, getattr(trainer.model, "skipped_steps", 0)
        guards = (callback for callback in trainer.callbacks if isinstance(callback, Guard))
        ours = any(guard.dropped == trainer.global_step - 1 for guard in guards)
        return self._dropped_before > before and not ours


def _local_gradients(pl_module: Any) -> dict[str, Tensor]:
    """This process's gradients, or its shards of them (FSDP), by parameter."""
    grads = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
    return {name: grad.to_local() if hasattr(grad, "to_local") else grad for name, grad in grads.items()}


def _first_bad_gradient(pl_module: Any, rank: int) -> str:
    """The first parameter whose gradient is not finite on process ``rank``; all processes must call."""
    grads = _local_gradients(pl_module)
    names = [name for name, _ in pl_module.named_parameters()]
    bad = next((i for i, n in enumerate(names) if n in grads and not grads[n].isfinite().all()), -1)
    found = int(
        per_rank(pl_module, torch.tensor([float(bad)], dtype=torch.float32, device=pl_module.device))[rank][0]
    )
    return f" of {names[found]}" if found >= 0 else ""
