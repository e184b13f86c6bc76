"""What a checkpoint must say to be resumed from by this run, with this many processes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from ..checks import ConfigError

_SAMPLED = 8  # numbers of each tensor that go into a fingerprint


def fingerprint(parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """Of frozen weights: names, shapes and a few values of each, enough to tell two models apart."""
    digest = hashlib.sha256()
    for name, parameter in parameters:
        if not parameter.requires_grad:
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


def reopen(loops: dict[str, Any]) -> None:
    """Make Lightning go through the end of training again, if that is where it was saved.

    A checkpoint of the last update may say that its epoch is done, as those are that a guard or a best
    validation leaves in ``on_train_end``. Lightning would then return from ``fit`` at once, and what is done
    at the end of training (weights written, accuracy measured) never would be. The epoch is the run.
    """
    progress = loops["fit_loop"]["epoch_progress"]
    for counts in (progress["total"], progress["current"]):
        counts["processed"] = counts["completed"] = 0
