"""Notes for people before an evaluation begins, in lines; found out before weights are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from .. import lineage
from ..config import construct
from ..data.sources.rows import BadRow
from ..models.skeleton import skeleton_of_saved
from ..types import Problem

_MOST = 3  # problems named in a line


def notes(
    cfg: DictConfig, problems: Mapping[str, Sequence[Problem]], bad: Mapping[str, Sequence[BadRow]]
) -> Iterator[str]:
    """Rows that can't be judged, texts that name the mask token, training sets that were not looked through.

    Args:
        cfg: The evaluation's config.
        problems: Of each benchmark.
        bad: Of each benchmark, what is wrong with the rows that are left out.
    """
    for name, errors in bad.items():
        if errors:
            yield f"{name}: {len(errors):,} of its rows can't be judged and are left out, such as {errors[0]}"
    mask = mask_name(cfg)
    for name, rows in problems.items():
        found = [problem.id for problem in rows if mask and mask in problem.prompt]
        if found:
            told = ", ".join(found[:_MOST]) + (", …" if len(found) > _MOST else "")
            yield f"{name}: the text of {told} names the mask token {mask!r}; it is read as plain text"
    for name in problems:
        blind = [s for s in lineage.read(cfg.model.path) if name not in s.compared_with]
        if blind:
            stages = ", ".join(f"{split.stage} on {split.data}" for split in blind)
            yield f"{name}: the training problems of this model's {stages} were not compared with it"


def mask_name(cfg: DictConfig) -> str | None:
    """The mask token of ``cfg.model.path`` as text, None if that can't be told without its weights."""
    skeleton, tokenizer = skeleton_of_saved(
        cfg.model.path, lora=None, **{**construct(cfg.model.load).keywords, "quantize": None}
    )
    if tokenizer is None:
        return None
    mask_id: Any = tokenizer.mask_token_id
    if mask_id is None:
        mask_id = getattr(skeleton.config, "mask_token_id", None)
    return None if mask_id is None else str(tokenizer.convert_ids_to_tokens(mask_id))
