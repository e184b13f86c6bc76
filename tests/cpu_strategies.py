"""The sharding strategies of the hardware group on CPU processes that talk over gloo.

Lightning refuses DeepSpeed without CUDA. The subclass lifts only that check; engine, optimizer and
communication are the real ones.
"""

import os

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from torch.distributed.tensor import DTensor

from igpo_lightning.distributed import disconnect
from igpo_lightning.training.strategies import FullySharded

# Compiling it takes longer than the tests; gloo does its work.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class CPUDeepSpeed(DeepSpeedStrategy):
    """DeepSpeed with one CPU "device" per process."""

    def setup_environment(self) -> None:
        # DeepSpeed asks for a device with an index.
        self.parallel_devices = [torch.device("cpu", i) for i in range(len(self.parallel_devices))]
        DDPStrategy.setup_environment(self)


class NothingLeft:
    """A teardown after which no weight can be read and no process reached.

    On a GPU much less is left of a strategy after ``fit`` than on a CPU: what is done too late there must
    not pass here.
    """

    def teardown(self) -> None:
        module = self.lightning_module
        if module is not None:
            moved = sum(part.numel() for part in module.parameters() if not isinstance(part, DTensor))
            print(f"weights at teardown: {moved}")  # what Lightning would move to the host
        super().teardown()
        for part in module.modules() if module is not None else ():
            for name, weight in part._parameters.items():
                if weight is not None:
                    gone = torch.empty_like(weight, device="meta")
                    part._parameters[name] = torch.nn.Parameter(gone, requires_grad=False)
        disconnect()
        # The next stage meets elsewhere: here, a process that is early would find the addresses that the
        # others have given up, and wait for them.
        if port := os.environ.get("MASTER_PORT"):
            os.environ["MASTER_PORT"] = str(int(port) + 1)


class OneDevice(NothingLeft, SingleDeviceStrategy):
    pass


class DDP(NothingLeft, DDPStrategy):
    pass


class FSDP(NothingLeft, FullySharded):
    pass


class DeepSpeed(NothingLeft, CPUDeepSpeed):
    pass
