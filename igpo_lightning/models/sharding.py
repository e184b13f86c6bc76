"""Policies whose weights are split over processes: splitting them, and putting them together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from ..distributed import rank
from ..files import whole_folder
from .policy import Policy


def fully_sharded(policy: Policy, mesh: DeviceMesh) -> Policy:
    """FSDP2: a decoder layer's weights are gathered when it is used, the rest with the whole policy."""
    if not isinstance(policy, FSDPModule):
        for layer in policy.network.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(policy, mesh=mesh)
    return policy


def full_state_dict(policy: Policy) -> dict[str, Tensor]:
    """The whole ``policy.model.state_dict()``, on the CPU of the first process; empty on the others.

    All processes must call it. Only weights of one layer at a time (ZeRO-3), or one tensor (FSDP2), are
    gathered on a GPU. With adapters, which are saved alone, ZeRO-3 leaves the frozen weights split.
    """
    if isinstance(policy, FSDPModule):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        whole: dict[str, Any] = get_model_state_dict(policy.model, options=options)
        return whole
    state = {name: value.detach() for name, value in policy.model.state_dict(keep_vars=True).items()}
    for name, parameter in policy.model.named_parameters():
        if hasattr(parameter, "ds_id"):
            del state[name]  # this process's share
            if parameter.requires_grad or not policy.has_adapters:
                state |= _gathered(name, parameter)
    return {name: value.cpu() for name, value in state.items()} if rank() == 0 else {}


def save_policy(policy: Policy, folder: str | Path) -> None:
    """:meth:`Policy.save` from however many processes hold the weights; all of them must call it.

    ``folder`` is replaced whole, once all is written: a full disk costs nothing that is there.
    """
    state = full_state_dict(policy) if policy.sharded else None
    if rank() == 0:
        with whole_folder(Path(folder)) as partial:
            policy.save(partial, state_dict=state)


def _gathered(name: str, parameter: nn.Parameter) -> dict[str, Tensor]:
    """A copy of a parameter that ZeRO-3 has split, by name; nothing on any process but the first."""
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter]):
        return {name: parameter.detach().cpu().clone()} if rank() == 0 else {}
