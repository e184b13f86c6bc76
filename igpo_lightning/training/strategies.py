"""FSDP2 as pure data parallelism."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy


class FullySharded(ModelParallelStrategy):
    """FSDP2 over all processes of all nodes; Lightning's default is tensor parallelism within a node.

    The module splits its weights in ``configure_model``. Checkpoints are folders with a part from each
    process, and can be read by any number of them.
    """

    def __init__(self, **options: Any):
        super().__init__(tensor_parallel_size=1, **options)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def splits_weights(trainer: Any) -> bool:
    """True if no process holds all weights: ZeRO-3 and FSDP."""
    strategy = trainer.strategy
    if isinstance(strategy, DeepSpeedStrategy):
        return strategy.zero_stage_3
    return isinstance(strategy, ModelParallelStrategy | FSDPStrategy)
