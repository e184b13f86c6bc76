"""Record of the problems that a model's ancestors held out, in a file beside its weights.

A model is judged on problems that none of its stages was trained on, and reported on problems that none of
them was chosen by. So each stage writes down what it held out, and what its ancestors did; whoever goes on
with the model must hold out problems from among these.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError, choice
from igpo_lightning.data.sources.base import Source
from igpo_lightning.data.splits import digest
from igpo_lightning.files import write_atomic

FILE = "lineage.json"

_KEYS = ("split_seed", "val_size", "test_size")


@dataclass(frozen=True)
class Split:
    """Problems that one stage held out.

    Attributes:
        stage: Its algorithm's name.
        data: The source's name.
        split_seed: As in the config.
        val_size, test_size: How many problems were held out.
        sha256: Of all that was held out.
        val, test: Hashes of the problems, see :func:`~igpo_lightning.data.splits.digest`.
        compared_with: Problem sets beside which its training problems were looked through.
    """

    stage: str
    data: str
    split_seed: int
    val_size: int
    test_size: int
    sha256: str
    val: tuple[str, ...]
    test: tuple[str, ...]
    compared_with: tuple[str, ...] = ()

    @classmethod
    def of(cls, stage: str, source: Source, compared_with: Iterable[str] = ()) -> Split:
        """The split of a source."""
        val, test = (tuple(map(digest, problems)) for problems in (source.val, source.test))
        whole = hashlib.sha256(json.dumps([val, test]).encode()).hexdigest()
        return cls(
            stage, source.name, source.split_seed, len(source.val), len(source.test), whole, val, test,
            tuple(compared_with),
        )  # fmt: skip


def read(model: str | Path | None) -> list[Split]:
    """The splits of a model's ancestors, oldest first; none if its folder does not tell.

    Raises:
        ConfigError: The file is not one of this program's.
    """
    path = Path(model or "").expanduser() / FILE
    if model is None or not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["splits"]
        return [Split(**_with_tuples(row)) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not a record of splits ({error}); restore it, or delete it") from None


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def write(model: str | Path, splits: Sequence[Split]) -> None:
    """Write the record into a model's folder, which is there."""
    if splits:
        rows: list[dict[str, Any]] = [asdict(split) for split in splits]
        write_atomic(Path(model) / FILE, json.dumps({"splits": rows}) + "\n")


def check(model: str | Path | None, source: Source, on_other_split: str = "error") -> list[Split]:
    """The splits of a model's ancestors, if problems that ``source`` holds out were held out by them.

    Args:
        on_other_split: "error" refuses the model otherwise, "warn" goes on.

    Raises:
        ConfigError: Naming what differs, and the way round.
    """
    choice("data.on_other_split", on_other_split, "error", "warn")
    ancestors = read(model)
    now = Split.of("", source)
    for then in ancestors:
        if then.data == now.data and (fault := _fault(then, now, source.disjoint)):
            said = f"model.path={model}: its stage {then.stage} {fault}"
            if on_other_split == "error":
                same = " ".join(f"data.{key}={getattr(then, key)}" for key in _KEYS)
                raise ConfigError(
                    f"{said}; hold out the same problems ({same}), give other data another data.name, or go "
                    "on all the same with data.on_other_split=warn"
                )
            warnings.warn(said, stacklevel=2)
    return ancestors


def _fault(then: Split, now: Split, disjoint: bool) -> str | None:
    """Why a model that held out ``then`` can't be judged on ``now``; None if it can."""
    if then.split_seed != now.split_seed:
        return (
            f"was trained on another split of {now.data} (split_seed {then.split_seed}, not {now.split_seed})"
        )
    held = {*now.val, *now.test}
    unknown = held - {*then.val, *then.test}
    if unknown and not disjoint:
        return (
            f"was trained on another split of {now.data}: {len(unknown):,} of the {len(held):,} problems "
            f"that are held out now were not then (val_size {then.val_size:,}, test_size {then.test_size:,})"
        )
    if tuned := set(now.test) & set(then.val):
        return f"was chosen by {len(tuned):,} problems of {now.data} that are in the test set now"
    return None
