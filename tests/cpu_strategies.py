"""The sharding strategies of the hardware group on CPU processes that talk over gloo.

Lightning refuses DeepSpeed without CUDA. The subclass lifts only that check; engine, optimizer and
communication are the real ones.
"""

import os

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy

from igpo_lightning.strategies import FullySharded

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

    ends_connection = True

    def teardown(self) -> None:
        module = self.lightning_module
        super().teardown()
        for part in module.modules() if module is not None else ():
            for name, weight in part._parameters.items():
                if weight is not None:
                    part._parameters[name] = torch.nn.Parameter(
                        torch.empty_like(weight, device="meta"), False
                    )
        if self.ends_connection and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class OneDevice(NothingLeft, SingleDeviceStrategy):
    pass


class DDP(NothingLeft, DDPStrategy):
    pass


class FSDP(NothingLeft, FullySharded):
    pass


class DeepSpeed(NothingLeft, CPUDeepSpeed):
    """DeepSpeed keeps groups of its own for as long as the program runs: here they fall silent instead."""

    ends_connection = False
    _collectives = ("all_reduce", "all_gather", "all_gather_object", "broadcast_object_list", "barrier")

    def setup_environment(self) -> None:
        vars(torch.distributed).update(_SPOKEN)
        super().setup_environment()

    def teardown(self) -> None:
        super().teardown()
        for name in self._collectives:
            _SPOKEN.setdefault(name, getattr(torch.distributed, name))
            setattr(torch.distributed, name, _silent)


_SPOKEN = {}


def _silent(*args, **kwargs):
    raise RuntimeError("No backend type associated with device type cpu")
