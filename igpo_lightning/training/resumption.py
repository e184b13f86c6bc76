"""Resuming a run: its checkpoint, and the changes of its config that are applied or refused.

A run that goes on should be one of which its config tells the truth. What only says how the rest is
learned (rate, schedule, length, loss) is applied from here on. What says which problems are seen, how they
are sampled and judged, and in which batches, can't be changed: the updates so far were another run's.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from transformers.utils import flatten_dict

from ..checks import ConfigError
from ..cli.plain import flatten, reference
from ..config import saved_config
from ..reporting.settings import WEIGHTS
from ..reporting.summary import FILE as SUMMARY
from .checkpoint_files import checked, newest, settings_of

CHECKPOINTS = "checkpoints"  # folder within a stage's own

# By the beginnings of keys. What is in none of these can't be changed.
IGNORED = (
    # where and by what a run is computed, and what is told of it
    *("output_dir", "sweep_dir", "resume", "dry_run", "report", "evaluate"),
    *("logger", "callbacks", "hardware"),
    *("algo.prompts_per_micro_batch", "algo.rows_per_micro_batch", "algo.draws_per_micro_batch"),
    *("algo.rows_per_forward", "data.cache_dir", "data.eval_batch", "model.name", "model.threads"),
    *("model.load.attn_implementation", "model.load.gradient_checkpointing", "model.load.liger"),
    *("reward.workers", "reward.terms.accuracy.verifier.workers"),
    # of the stage before, and the place of the weights, which are themselves compared
    *("warm_start", "algo.warm_start", "model.path", WEIGHTS),
)
LENGTHS = ("algo.steps", "algo.rollouts", "algo.epochs")
APPLIED = (*LENGTHS, "algo.validate_every", "algo.optimizer", "algo.scheduler", "algo.trainer", "algo.loss")
REFUSED = ("algo.optimizer._target_",)  # in spite of that: its state is the former one's
RECIPES = ("model.rl", "model.sft")  # defaults of others' keys, where they count
ALIASES = {"torch.optim.AdamW": "igpo_lightning.training.optimizers.AdamW"}  # the same, with the same state
# Pieces that a run of before they were there had all the same.
UNSAID = {
    "algo.reference._target_": "igpo_lightning.algos.Kept",
    "algo.select._target_": "igpo_lightning.rollout.AllGroups",
    "algo.credit._target_": "igpo_lightning.rollout.PerCompletion",
}


@dataclass(frozen=True)
class Change:
    """A key whose value is another one than before; None also stands for "not there"."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} {_shown(self.before)} → {_shown(self.now)}"


@dataclass(frozen=True)
class Resumption:
    """Checkpoint that a stage goes on from, and the settings that changed since.

    Attributes:
        checkpoint: None: at its start.
        changes: What has changed and is applied from here on.
        settings: Of the run that is gone on with; empty if there is none, or it does not say.
    """

    checkpoint: str | None = None
    changes: tuple[Change, ...] = ()
    settings: Mapping[str, Any] | None = None

    @property
    def relearns(self) -> bool:
        """True if the checkpoint's optimiser or schedule is not that of the config."""
        return any(
            change.key.startswith(("algo.optimizer", "algo.scheduler", *LENGTHS)) for change in self.changes
        )

    @property
    def is_longer(self) -> bool:
        return any(change.key in LENGTHS and _is_longer(change) for change in self.changes)

    def check_weights(self, weights: str) -> None:
        """Refuse to go on with a run that started from other weights, which are the reference of its KL."""
        before = (self.settings or {}).get(WEIGHTS, weights)
        if before != weights:
            raise ConfigError(
                f"model.path: {self.checkpoint or 'the run'} started from other weights than these; "
                "give those, or another output_dir"
            )


def resumption_of(cfg: DictConfig) -> Resumption:
    """Resolve ``resume``; "auto" is the newest good checkpoint of ``output_dir``, if any.

    Raises:
        ConfigError: The checkpoint is damaged or of another run: of another algorithm or model, or with
            settings that can't be changed half way.
    """
    if cfg.resume is None:
        return Resumption()
    folder = Path(cfg.output_dir)
    found = newest(folder / CHECKPOINTS) if cfg.resume == "auto" else checked(Path(cfg.resume))
    settings: Any = settings_of(found) if found else {}
    if not settings:
        settings = _config_in(found.parent.parent if found else folder)
    where = f"resume={found or folder / 'config.yaml'}"
    changes = tuple(_allowed(where, settings, cfg)) if settings else ()
    return Resumption(found and str(found), changes, settings)


def is_finished(cfg: DictConfig) -> bool:
    """True if this very run has been finished, so that ``resume=auto`` has nothing left to do.

    Raises:
        ConfigError: It has been finished with other settings, and is not to be longer.
    """
    folder = Path(cfg.output_dir)
    if cfg.resume != "auto" or not (folder / SUMMARY).is_file():
        return False
    last = _config_in(folder)
    changes = tuple(_allowed(f"resume={folder / 'config.yaml'}", last, cfg)) if last else ()
    if changes and not Resumption(changes=changes).is_longer:
        raise ConfigError(
            f"resume=auto: the run in {folder} is finished; {changes[0]} would change nothing. "
            f"Make it longer ({' or '.join(LENGTHS)}), or name another output_dir"
        )
    return not changes


def _config_in(folder: Path) -> dict[str, Any]:
    """The config that a run has left in its folder; empty if it has none."""
    path = folder / "config.yaml"
    config: Any = OmegaConf.to_container(saved_config(path)) if path.is_file() else {}
    return config


def _allowed(where: str, before: Mapping[str, Any], cfg: DictConfig) -> Iterator[Change]:
    """The changes that are applied.

    Raises:
        ConfigError: Another one.
    """
    for change in differences(before, cfg):
        if is_under(change.key, APPLIED) and change.key not in REFUSED:
            yield change
            continue
        raise ConfigError(f"{where}: {_refusal(change, before, cfg)}")


def _refusal(change: Change, before: Mapping[str, Any], cfg: DictConfig) -> str:
    names = before.get("algo", {}).get("name"), cfg.algo.name
    if change.key.startswith("algo.") and names[0] != names[1]:
        return f"a checkpoint of algo={names[0]}, another algorithm than {names[1]}; name another output_dir"
    of = "of another model" if change.key.startswith("model.") else "of another run"
    return (
        f"a checkpoint {of}: {change.key} was {_shown(change.before)}, and is {_shown(change.now)}; repeat "
        "the former value, or start a new run (another output_dir) from its weights by model.path"
    )


def differences(before: Mapping[str, Any], cfg: DictConfig) -> list[Change]:
    """List what matters and differs between ``cfg`` and a resolved config of before, algorithm first.

    A value that is repeated by interpolation (``${seed}``) counts once, where it stands. Paths within
    the run's folder are the same wherever that folder is.
    """
    now: Any = OmegaConf.to_container(cfg, resolve=True)
    old, new = ({k: ALIASES.get(v, v) if isinstance(v, str) else v for k, v in settings_by_key(tree).items()}
                for tree in (before, now))  # fmt: skip
    if "algo.inpaint._target_" in old:
        old = UNSAID | old
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key) and not is_under(key, RECIPES)}
    changed -= {key for key in changed - {*old} if _was_default(key, old, new)}
    raw = flatten(OmegaConf.to_container(cfg, resolve=False))
    own = [key for key in changed if (origin := _origin(raw, key)) == key or origin not in changed]
    own = [key for key in own if not is_under(key, IGNORED)]
    first = {"algo": 0, "model": 1, "seed": 2, "data": 3}
    own.sort(key=lambda key: (key != "algo.name", first.get(key.split(".")[0], 4), key))
    return [Change(key, old.get(key), new.get(key)) for key in own]


def _was_default(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """True if a run of before there was ``key`` did what it says: its value is the piece's own default."""
    piece, _, name = key.rpartition(".")
    target = f"{piece}._target_"
    if target not in old or old[target] != new.get(target):
        return False
    made = get_object(new[target])
    for part in getattr(made, "__mro__", [made, object])[:-1]:  # a class may hand **options on to its base
        if known := inspect.signature(part).parameters.get(name):
            return known.default == new[key]
    return False


def settings_by_key(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a resolved config by dotted key; paths within its own folder are relative to it."""
    leaves = flatten_dict(_at_home(tree, str(tree.get("output_dir"))))
    return {key: value for key, value in leaves.items() if value != {}}


def is_under(key: str, prefixes: Iterable[str]) -> bool:
    """True if ``key`` is one of ``prefixes`` or lies within one."""
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)


def _at_home(tree: Any, folder: str) -> Any:
    """``tree`` with paths relative to the run's folder where they lie in it."""
    if isinstance(tree, Mapping):
        return {key: _at_home(value, folder) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_at_home(value, folder) for value in tree]
    return tree.replace(folder, ".", 1) if isinstance(tree, str) and tree.startswith(folder + "/") else tree


def _origin(raw: Mapping[str, Any], key: str) -> str:
    """The key that ``key`` takes its value from by interpolation, over any number of steps."""
    while (source := reference(raw, key)) is not None and not is_under(source, RECIPES):
        key = source  # a circle would not have been resolved
    return key


def _is_longer(change: Change) -> bool:
    """Null is no limit of this kind."""
    return change.before is not None and (change.now is None or change.now > change.before)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
