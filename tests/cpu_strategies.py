"""The sharding strategies of the hardware group on CPU processes that talk over gloo.

Lightning refuses DeepSpeed without CUDA. The subclass lifts only that check; engine, optimizer and
communication are the real ones.
"""

import os

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy

# Compiling it takes longer than the tests; gloo does its work.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class CPUDeepSpeed(DeepSpeedStrategy):
    """DeepSpeed with one CPU "device" per process."""

    def setup_environment(self) -> None:
        # DeepSpeed asks for a device with an index.
        self.parallel_devices = [torch.device("cpu", i) for i in range(len(self.parallel_devices))]
        DDPStrategy.setup_environment(self)
