"""One training run: its stages in order, each a fit between two looks at held-out accuracy."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from . import provenance
from .checkpoints import check_strategy, checked, newest
from .checks import ConfigError
from .config import find_conf
from .console import quieten
from .evaluation.heldout import HeldOutAccuracy
from .hardware import trainer_options, use_threads
from .models import Policy
from .models.sharding import save_policy
from .preflight.plan import plan_stage
from .reporting import write_report
from .reporting.summary import FILE as SUMMARY
from .reporting.summary import Accuracy, Stage, Summary
from .stopping import Stopped, interruptible, stop_on_sigterm

CHECKPOINTS = "checkpoints"  # folder within a stage's own
MODEL = "model"  # folder of a stage's trained weights, within the stage's own folder


def run(cfg: DictConfig) -> float | None:
    """Train as ``cfg`` says; returns the last held-out accuracy (for sweepers), if it was measured.

    An algorithm that needs a trained model (``algo.warm_start``) and is given none
    (``model.path=null``) trains one first, in a folder of its own within the run's.
    """
    folder = Path(cfg.output_dir)
    quieten()
    use_threads(cfg.hardware)
    _check_folder(cfg, folder)
    if cfg.dry_run:
        return _dry_run(cfg)
    if cfg.hardware.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ConfigError(
            "hardware: it asks for GPUs, and there is none here; choose hardware=cpu or cpu_ddp"
        )
    try:
        with stop_on_sigterm():
            return _run_stages(cfg, folder)
    except KeyboardInterrupt:
        print(f"\nstopped; to go on, repeat the command with output_dir={folder} resume=auto")
        raise
    except Stopped as stopped:
        if _is_first_process():
            print(f"\n{stopped}; to go on, repeat the command with output_dir={folder} resume=auto")
        raise SystemExit(0) from None  # not a return: to a sweep this job is not done


def _dry_run(cfg: DictConfig) -> None:
    """Print what the run would need; write nothing."""
    from .preflight import describe, discard_hydra_files  # not needed by a run

    try:
        checkpoint_of(cfg)
        stages = [cfg]
        if cfg.algo.warm_start and cfg.model.path is None:
            stages.insert(0, _warm_start_config(cfg))
        if _is_first_process():
            print(describe(stages))
    finally:
        discard_hydra_files()


def _run_stages(cfg: DictConfig, folder: Path) -> float | None:
    started = time.perf_counter()
    checkpoint = checkpoint_of(cfg)  # first: a bad one is refused before anything is trained
    stages = []
    if cfg.algo.warm_start and cfg.model.path is None:
        plan_stage(cfg)  # what is wrong with the second stage should not show after the first
        first = _warm_start_config(cfg)
        stages.append(_run_once(first))
        with open_dict(cfg):
            cfg.model.path = str(Path(first.output_dir) / MODEL)
    stages.append(run_stage(cfg, checkpoint, before=stages[-1].accuracy_after if stages else None))
    if _is_first_process():
        relative = [_relative(stage, folder) for stage in stages]
        Summary(tuple(relative), time.perf_counter() - started, _title(cfg)).save(folder)
        if cfg.report:
            files = f"picture: {folder / 'report.png'}   page: {folder / 'report.html'}"
            print(f"\n{write_report(folder)}\n\n{files}")
    after = stages[-1].accuracy_after
    return after.value if after else None


def run_stage(cfg: DictConfig, checkpoint: str | None, before: Accuracy | None = None) -> Stage:
    """Fit one module and save its weights to ``<output_dir>/model``.

    Args:
        cfg: The run's config.
        checkpoint: Where to go on from, as :func:`checkpoint_of` gives it.
        before: Held-out accuracy of the weights it starts from; measured if None.
    """
    started, folder = time.perf_counter(), Path(cfg.output_dir)
    module, datamodule, trainer = build(cfg)
    heldout = HeldOutAccuracy(before)
    if cfg.evaluate:
        trainer.callbacks.insert(0, heldout)
    if trainer.is_global_zero:  # not before: a run that could not be built leaves no trace
        folder.mkdir(parents=True, exist_ok=True)
        provenance.write(folder, cfg)
    if checkpoint is not None:
        check_strategy(Path(checkpoint), trainer.strategy)
    with interruptible(trainer):
        trainer.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    if cfg.algo.trainer.get("max_time") and trainer.global_step < datamodule.updates and _is_first_process():
        done = f"{trainer.global_step:,} of {datamodule.updates:,} updates"
        print(f"ended by algo.trainer.max_time={cfg.algo.trainer.max_time} after {done}")
    completions = trainer.callback_metrics.get("rollout/completions")
    save_policy(module.policy, folder / MODEL)
    trainer.strategy.barrier()  # the next stage loads it, on every process
    return Stage(
        name=cfg.algo.name,
        folder=str(folder),
        seconds=time.perf_counter() - started,
        accuracy_before=heldout.before,
        accuracy_after=heldout.after,
        updates=trainer.global_step,
        completions=None if completions is None else int(completions),
    )


def _run_once(cfg: DictConfig) -> Stage:
    """A stage that others build on: run it, unless a resumed job has it already."""
    folder = Path(cfg.output_dir)
    if cfg.resume and (folder / SUMMARY).is_file():
        return replace(Summary.load(folder).stages[0], folder=str(folder))
    stage = run_stage(cfg, checkpoint_of(cfg))
    if _is_first_process():
        Summary((replace(stage, folder="."),), stage.seconds, _title(cfg)).save(folder)
    return stage


def _check_folder(cfg: DictConfig, folder: Path) -> None:
    """Refuse to write over another run."""
    if cfg.resume is None and (folder / "provenance.json").exists() and _is_first_process():
        raise ConfigError(
            f"output_dir={folder}: it holds a run already; "
            "go on with it by resume=auto, or name another folder"
        )


def _title(cfg: DictConfig) -> str:
    return f"{cfg.algo.name} · {cfg.model.name} · {cfg.data.name} · seed {cfg.seed}"


def build(cfg: DictConfig) -> tuple[L.LightningModule, L.LightningDataModule, L.Trainer]:
    """The three objects of a stage, ready to fit."""
    _name_wandb_run(cfg)
    datamodule = instantiate(cfg.algo.datamodule)
    module = instantiate(cfg.algo.module, policy=build_policy(cfg, datamodule.source))
    trainer = L.Trainer(
        **trainer_options(cfg.hardware),
        **instantiate(cfg.algo.trainer),
        default_root_dir=cfg.output_dir,
        callbacks=_objects(cfg.callbacks),
        logger=_objects(cfg.logger) or False,
        max_epochs=1,  # the schedule's length is the run's
        check_val_every_n_epoch=None,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any("Checkpoint" in c["_target_"] for c in _entries(cfg.callbacks)),
    )
    return module, datamodule, trainer


def build_policy(cfg: DictConfig, source: Any) -> Policy:
    """Load ``model.path``, or create a model with a tokenizer made for ``source``."""
    lora = OmegaConf.to_container(cfg.model.lora) if cfg.model.lora else None
    if cfg.model.path is not None:
        return instantiate(cfg.model.load)(cfg.model.path, lora=lora)
    if cfg.model.create is None:
        raise ConfigError("model.path: this model has no weights of its own; give a folder or a hub id")
    return instantiate(cfg.model.create)(instantiate(cfg.data.tokenizer)(source), lora=lora)


def _name_wandb_run(cfg: DictConfig) -> None:
    """Give a W&B run an id, which its config.yaml keeps; a resumed run takes it from there."""
    if OmegaConf.select(cfg, "logger.wandb") is None or cfg.logger.wandb.id is not None:
        return
    former = Path(cfg.output_dir) / "config.yaml"
    kept = (
        OmegaConf.select(OmegaConf.load(former), "logger.wandb.id")
        if cfg.resume and former.is_file()
        else None
    )
    cfg.logger.wandb.id = kept or secrets.token_hex(4)


def checkpoint_of(cfg: DictConfig) -> str | None:
    """The checkpoint that ``resume`` names; "auto" is the newest good one of ``output_dir``, or none."""
    if cfg.resume is None:
        return None
    if cfg.resume == "auto":
        found = newest(Path(cfg.output_dir) / CHECKPOINTS)
        return found and str(found)
    return str(checked(Path(cfg.resume)))


def _warm_start_config(cfg: DictConfig) -> DictConfig:
    """This run's config with the warm start's ``algo``, a model to be made, and a folder of its own."""
    with (
        nullcontext()
        if GlobalHydra.instance().is_initialized()
        else initialize_config_dir(str(find_conf()), version_base="1.3")
    ):
        plain = hydra.compose("train", [f"algo={cfg.algo.warm_start}", *cfg.warm_start])
    first = copy.deepcopy(cfg)
    with open_dict(first):
        first.algo = plain.algo
        first.model.lora = None
        first.resume = cfg.resume and "auto"  # a checkpoint that was named is of the stage that was asked for
        first.output_dir = str(Path(cfg.output_dir) / cfg.algo.warm_start)
    return first


def _entries(group: DictConfig | None) -> list[Mapping[str, Any]]:
    return [entry for entry in (group or {}).values() if entry is not None and "_target_" in entry]


def _objects(group: DictConfig | None) -> list[Any]:
    return [instantiate(entry) for entry in _entries(group)]


def _is_first_process() -> bool:
    return rank_zero_only.rank == 0


def _relative(stage: Stage, folder: Path) -> Stage:
    return replace(stage, folder=str(Path(stage.folder).relative_to(folder)))
