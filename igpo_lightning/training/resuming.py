"""Checks and changes of a checkpoint that this run, with this many processes, goes on from."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from ..checks import ConfigError

_SAMPLED = 8  # numbers of each tensor that go into a fingerprint


def fingerprint(parameters: Iterable[tuple[str, nn.Parameter]], trained: bool = False) -> str:
    """Of frozen weights: names, shapes and a few values of each, enough to tell two models apart.

    Args:
        trained: Whether those that are not frozen count, too.
    """
    digest = hashlib.sha256()
    for name, parameter in parameters:
        if trained or not parameter.requires_grad:
            values = [] if parameter.is_meta else parameter.detach().flatten()[:_SAMPLED].float().tolist()
            digest.update(f"{name}{tuple(parameter.shape)}{values}".encode())
    return digest.hexdigest()


def check_tensors(
    where: str,
    saved: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    needed: Collection[str] | None = None,
) -> None:
    """Refuse weights that are not this model's.

    Args:
        where: "key=path" of the checkpoint, for the message.
        saved: Its tensors.
        own: The model's, which they must be among.
        needed: Names that must be saved; None: all of ``own``.

    Raises:
        ConfigError: A tensor is missing, unknown or of another shape.
    """
    shapes, expected = ({name: value.shape for name, value in state.items()} for state in (saved, own))
    names = {*saved, *(own if needed is None else needed)}
    wrong = sorted(name for name in names if shapes.get(name) != expected.get(name))
    if wrong:
        raise ConfigError(
            f"{where}: a checkpoint of another model: {len(wrong)} tensors are "
            f"missing, unknown or of another shape, e.g. {wrong[0]}"
        )


def count_batches_anew(loops: dict[str, Any], before: int, now: int) -> None:
    """Turn Lightning's counts of micro-batches into those of ``now`` instead of ``before`` an update."""
    progress = loops["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        for name, value in counts.items():
            counts[name] = value // before * now


def use_options(module: LightningModule, updates: int) -> None:
    """Give a restored optimiser and its schedule the options that the config has now.

    A checkpoint restores them as they were, the learning rate and the schedule's base among them. What
    the optimiser has gathered (moments, step counts) stays; the schedule is where it would be if it had
    been the new one for all of the ``updates`` so far.
    """
    made: Any = module.configure_optimizers()
    made = made if isinstance(made, dict) else {"optimizer": made}
    optimizer, trainer = made["optimizer"], module.trainer
    schedule = made.get("lr_scheduler")
    if schedule is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing was optimised between two steps
            for _ in range(updates):
                schedule["scheduler"].step()
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(schedule["scheduler"].state_dict())
    for group, new in zip(trainer.optimizers[0].param_groups, optimizer.param_groups, strict=True):
        group.update({name: value for name, value in new.items() if name != "params"})


def reopen(loops: dict[str, Any]) -> None:
    """Make Lightning go through the end of training again, if that is where it was saved.

    A checkpoint of the last update says that its epoch is done. Lightning would then return from ``fit``
    at once, and what is done at the end of training (weights written, accuracy measured) never would be,
    nor the further updates of a run that is to be longer. The epoch is the run.
    """
    progress = loops["fit_loop"]["epoch_progress"]
    for counts in (progress["total"], progress["current"]):
        counts["processed"] = counts["completed"] = 0
    loops["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False
