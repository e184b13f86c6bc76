"""Base of the stages' modules: a policy, its optimiser, running means, and validation by decoding."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from ..algos.algorithm import Stage
from ..checks import ConfigError
from ..evaluation.decoding import decode
from ..hardware import peak_memory
from ..models import Policy
from ..models.casting import trained_in_float32
from ..models.sharding import fully_sharded
from ..types import Prompt
from .gradients import keeps_masters, loss_scale, norm_after_step, norm_before_step
from .resuming import check_tensors, count_batches_anew, fingerprint, reopen
from .tally import Tally

OWN_GROUPS = ("time/", "memory/")  # metrics that are logged under their own names


class DiffusionModule(L.LightningModule):
    """A policy under training.

    Args:
        policy: The weights.
        algorithm: The stage's optimiser, schedule, seed, and the sampler and reward of validation, which
            decodes held-out prompts greedily.
    """

    def __init__(self, policy: Policy, algorithm: Stage):
        super().__init__()
        # A network is loaded in eval mode, in which transformers keeps all activations for the backward
        # pass, whatever gradient checkpointing was asked for.
        self.policy, self.algorithm = policy.train(), algorithm
        self.decoder = algorithm.sampler.greedy()
        self._tally = Tally()
        self._seconds = self._began = 0.0
        self._logged_step = 0
        self._stop = False  # as soon as the update has ended
        self._frozen = fingerprint(policy.named_parameters())

    @property
    def datamodule(self) -> Any:
        """The run's DataModule; Lightning's type of a trainer does not know of it."""
        trainer: Any = self.trainer
        return trainer.datamodule

    def configure_model(self) -> None:
        """Put what is trained into float32; split it where the strategy leaves that to the module (FSDP2)."""
        if not keeps_masters(self.trainer):
            trained_in_float32(self.policy)
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            mesh: Any = self.device_mesh
            fully_sharded(self.policy, mesh["data_parallel"])

    def configure_optimizers(self):
        trainable = [p for p in self.policy.parameters() if p.requires_grad]
        if not trainable:
            raise ConfigError(
                "model.lora=null: nothing would be trained: model.path holds an adapter, which stays beside "
                "weights that are not in float32; give model.lora one to train, or load all in float32 "
                "(model.load.dtype=float32), or train the whole model that igpo-export merge=true makes of it"
            )
        optimizer = self.algorithm.optimizer(trainable)
        if self.algorithm.scheduler is None:
            return optimizer
        scheduler = self.algorithm.scheduler(optimizer, total=self.datamodule.updates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def strict_loading(self) -> bool:
        return not self.policy.has_adapters  # a checkpoint of adapters leaves the frozen weights out

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With adapters, only what is trained is saved; the rest is loaded from where it came from."""
        checkpoint["frozen"] = self._frozen
        checkpoint["batches_per_update"] = self.trainer.accumulate_grad_batches
        if self._saves_adapters_only:
            trained = self._trained
            checkpoint["state_dict"] = {n: v for n, v in checkpoint["state_dict"].items() if n in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model by name; count batches as this number of processes does."""
        where = str(self.trainer.ckpt_path)
        if (saved := checkpoint.get("state_dict")) is not None:  # sharded strategies load their own
            own = self.state_dict()
            trained = self._trained if self._saves_adapters_only else own
            check_tensors(
                f"resume={where}", saved, {name: value for name, value in own.items() if name in trained}
            )
        if checkpoint["frozen"] != self._frozen:
            raise ConfigError(f"resume={where}: its adapters belong to another base model than model.path")
        reopen(checkpoint["loops"])
        before, now = checkpoint["batches_per_update"], self.trainer.accumulate_grad_batches
        if before != now:
            count_batches_anew(checkpoint["loops"], before, now)

    @property
    def _saves_adapters_only(self) -> bool:
        # FSDP2's distributed checkpoints hold each process's part of everything.
        return self.policy.has_adapters and not isinstance(self.trainer.strategy, ModelParallelStrategy)

    @property
    def _trained(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.compute_loss(batch) * loss_scale(self.trainer)

    @abstractmethod
    def compute_loss(self, batch: Any) -> Tensor:
        """The loss of one micro-batch on this process; an update learns from the mean over all of them."""

    def on_train_start(self) -> None:
        self._tally.clear()
        self._seconds, self._stop = 0.0, False
        self._logged_step = self.trainer.global_step

    def accumulate(self, metrics: Mapping[str, Any]) -> None:
        """Remember a micro-batch's metrics (see :class:`Tally`), to log them with the update's last one."""
        self._tally.add(metrics)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._began = time.perf_counter()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # DeepSpeed's engine calls this for every micro-batch.
        if (norm := norm_before_step(self.trainer, self.policy.parameters())) is not None:
            self.accumulate({"grad_norm": norm})

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.global_step == self._logged_step:
            self._seconds += time.perf_counter() - self._began
            self._end_later()
            return  # still accumulating gradients
        self._logged_step = self.trainer.global_step
        self.trainer.should_stop |= self._stop
        if (norm := norm_after_step(self.trainer)) is not None:
            self.accumulate({"grad_norm": norm})
        self._tally.local()  # waits for the device
        self._seconds += time.perf_counter() - self._began
        self.accumulate(self.progress(batch, self._seconds))
        self.publish("train", self._tally.everyone(self.device))
        self._tally.clear()
        self._seconds = 0.0

    def _end_later(self) -> None:
        """Let the update end first: no checkpoint holds the gradients of half of it."""
        self._stop |= self.trainer.should_stop
        self.trainer.should_stop = False

    def publish(self, group: str, metrics: Mapping[str, float], update: int | None = None) -> None:
        """Hand metrics of an update to callbacks, schedulers and loggers.

        Args:
            group: Of those whose name has none of its own, such as "train".
            update: Its number, from 0; None: that of the one that has just ended.
        """
        update = self._logged_step - 1 if update is None else update
        named = {name if name.startswith(OWN_GROUPS) else f"{group}/{name}": v for name, v in metrics.items()}
        # Not by `self.log`, which takes a tenth of the toy's time, and hands a value to the loggers again at
        # every later update that has none.
        values = {name: torch.tensor(v, dtype=torch.float64, device="cpu") for name, v in named.items()}
        self.trainer.callback_metrics.update(values)
        for logger in self.loggers:
            logger.log_metrics(named, step=update)

    def progress(self, batch: Any, seconds: float) -> dict[str, float]:
        """Metrics of the update that ``batch`` ends: its pace, and how far the run is.

        Args:
            seconds: In the update's micro-batches, rollouts and validation not counted.
        """
        return {
            "epoch": self.datamodule.epochs_seen(batch),
            "time/update": seconds,
            "memory/gib_max": peak_memory(self.device) / 2**30,
        }

    def update_metrics(self) -> dict[str, float]:
        """Of the update under way, over this process's micro-batches: see :class:`Tally`."""
        return self._tally.local()

    def validation_step(self, prompts: Sequence[Prompt], batch_idx: int) -> None:
        result = decode(self.policy, self.decoder, self.algorithm.reward, prompts, seed=self.algorithm.seed)
        for name, value in result.means().items():
            self.log(f"val/{name}", value, on_epoch=True, sync_dist=True, batch_size=len(prompts))
