"""One training run: its stages in order, each a fit between two looks at held-out accuracy."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from .. import lineage
from ..checks import ConfigError
from ..config import build_algorithm, construct
from ..console import quieten
from ..distributed import barrier, ended
from ..evaluation.heldout import HeldOutAccuracy
from ..hardware import check_gpus, trainer_options, use_threads
from ..models import Policy
from ..models.sharding import save_policy
from ..precision import check_precision
from ..preflight.plan import plan_stage
from ..processes import connecting
from ..reporting import wandb_logger, write_report
from ..reporting.settings import WEIGHTS
from ..reporting.summary import Accuracy, Stage, Summary
from ..run_folder import BEGUN, how_to_go_on, run_folder, sweep_of
from ..stopping import Stopped, interruptible, stop_on_signals
from . import warm_start
from .checkpoints import check_strategy
from .finishing import Finish
from .resuming import fingerprint
from .resumption import Resumption, is_finished, resumption_of
from .stage_record import StageRecord

MODEL = "model"  # folder of a stage's trained weights, within the stage's own folder


def run(cfg: DictConfig) -> float | None:
    """Train as ``cfg`` says; returns the last accuracy on validation problems (for sweepers), if measured.

    An algorithm that needs a trained model (``algo.warm_start``) and is given none
    (``model.path=null``) trains one first, in a folder of its own within the run's.
    """
    folder = Path(cfg.output_dir)
    quieten()
    use_threads(cfg.hardware)
    if cfg.dry_run:
        return _dry_run(cfg)
    check_gpus(cfg.hardware)
    if (note := check_precision(cfg.hardware, trains=True)) and _is_first_process():
        print(f"warning: {note}")
    try:
        with ended(), stop_on_signals(), run_folder(folder, _is_first_process(), cfg.get("sweep_dir")):
            _check_folder(cfg, folder)
            return _run_stages(cfg, folder)
    except KeyboardInterrupt:
        if (folder / BEGUN).exists() and _is_first_process():
            _say_stopped(cfg, "stopped")
        raise
    except Stopped as stopped:
        if _is_first_process():
            _say_stopped(cfg, str(stopped))
            if stopped.by == signal.SIGINT:
                raise KeyboardInterrupt from None
        raise SystemExit(0) from None  # not a return: to a sweep this job is not done


def _say_stopped(cfg: DictConfig, said: str) -> None:
    """Print that the run has stopped, and how it goes on; of a sweep's job, the sweep says that."""
    place = cfg.output_dir, cfg.get("sweep_dir")
    print(f"\n{said}" if sweep_of(*place) else f"\n{said}; to go on, {how_to_go_on(*place)}")


def _dry_run(cfg: DictConfig) -> None:
    """Print what the run would need; write nothing."""
    from ..preflight import describe, discard_hydra_files  # not needed by a run

    try:
        _check_folder(cfg, Path(cfg.output_dir))
        resumption_of(cfg)
        stages = [cfg]
        if warm_start.is_due(cfg):
            stages.insert(0, warm_start.config_of(cfg))
        if _is_first_process():
            for piece in describe(stages):
                print(piece, flush=True)
    finally:
        discard_hydra_files()


def _run_stages(cfg: DictConfig, folder: Path) -> float | None:
    resumption = resumption_of(cfg)  # first: a bad one is refused before anything is trained
    if is_finished(cfg):
        return _say_finished(folder)
    stages = []
    if warm_start.is_due(cfg):
        plan_stage(cfg)  # what is wrong with the second stage should not show after the first
        stages.append(warm_start.trained(cfg, _first_stage))
        with open_dict(cfg):
            cfg.model.path = str(warm_start.own_folder(cfg) / MODEL)
    with wandb_logger.kept_open() as show:
        stages.append(run_stage(cfg, resumption, before=stages[-1].accuracy_after if stages else None))
        _summarise(cfg, stages)
        if _is_first_process() and cfg.report and (page := _report(folder)):
            show(page)
    after = stages[-1].accuracy_after
    return after.value if after else None


def _report(folder: Path) -> Path | None:
    """Write the report and print it; None if it can't be made, which is no reason for the run to fail."""
    try:
        text = write_report(folder)
    except ConfigError as error:
        print(f"no report: {error}")
        return None
    page = folder / "report.html"
    print(f"\n{text}\n\npicture: {folder / 'report.png'}   page: {page}")
    return page


def _first_stage(cfg: DictConfig) -> Stage:
    """A stage that another one builds on."""
    stage = run_stage(cfg, resumption_of(cfg), last=False)
    _summarise(cfg, [stage])
    return stage


def _summarise(cfg: DictConfig, stages: Sequence[Stage]) -> None:
    """Write the run's summary: with it, the run is finished."""
    if _is_first_process():
        title = f"{cfg.algo.name} · {cfg.model.name} · {cfg.data.name} · seed {cfg.seed}"
        Summary(tuple(stages), sum(stage.seconds or 0.0 for stage in stages), title).save(cfg.output_dir)


def run_stage(
    cfg: DictConfig, resumption: Resumption, before: Accuracy | None = None, last: bool = True
) -> Stage:
    """Fit one module and save its weights to ``<output_dir>/model``.

    Args:
        cfg: The stage's config.
        resumption: Where to go on from, as :func:`resumption_of` gives it.
        before: Validation accuracy of the weights it starts from; measured if None.
        last: Whether no further stage follows: then what it ends with is tested.
    """
    started = time.perf_counter()
    module, datamodule, trainer = build(cfg)
    _record_settings(cfg, module, resumption)
    heldout = HeldOutAccuracy(before, last)
    at_the_end: list[Any] = [partial(_save_model, cfg)]
    if cfg.evaluate:
        trainer.callbacks.insert(0, heldout)
        at_the_end.append(heldout.measure_after)
    record = StageRecord(cfg, resumption, heldout, started)
    trainer.callbacks.insert(0, record)
    trainer.callbacks.append(Finish(*at_the_end))
    if resumption.checkpoint is not None:
        check_strategy(Path(resumption.checkpoint), trainer.strategy)
    with connecting(trainer), interruptible(trainer):
        trainer.fit(module, datamodule=datamodule, ckpt_path=resumption.checkpoint, weights_only=True)
    if cfg.algo.trainer.get("max_time") and trainer.global_step < datamodule.updates and _is_first_process():
        done = f"{trainer.global_step:,} of {datamodule.updates:,} updates"
        print(f"ended by algo.trainer.max_time={cfg.algo.trainer.max_time} after {done}")
    completions = trainer.callback_metrics.get("rollout/completions")
    return Stage(
        name=cfg.algo.name,
        seconds=record.seconds,
        accuracy_before=heldout.before,
        accuracy_after=heldout.after,
        test=heldout.test,
        updates=trainer.global_step,
        completions=None if completions is None else int(completions),
    )


def _record_settings(cfg: DictConfig, module: Any, resumption: Resumption) -> None:
    """Put the config where loggers and checkpoints find it, and compare the weights with a former run's."""
    policy = module.policy
    # With adapters, the module compares the frozen weights itself. New weights belong to their seed.
    compared = cfg.model.path is not None and not policy.has_adapters
    weights = fingerprint(policy.named_parameters(), trained=True) if compared else None
    if weights is not None:
        resumption.check_weights(weights)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    module.save_hyperparameters({**settings, WEIGHTS: weights})


def _say_finished(folder: Path) -> float | None:
    """A finished run has nothing left to do; returns its validation accuracy."""
    after = Summary.load(folder).stages[-1].accuracy_after
    if _is_first_process():
        said = f", validation accuracy {after.value:.3f}" if after else ""
        print(f"{folder}: this run is finished{said}; nothing is left to do")
    return after.value if after else None


def _check_folder(cfg: DictConfig, folder: Path) -> None:
    """Refuse to write over another run."""
    if cfg.resume is None and (folder / BEGUN).exists() and _is_first_process():
        raise ConfigError(
            f"output_dir={folder}: it holds a run already; "
            "go on with it by resume=auto, or name another folder"
        )


def build(cfg: DictConfig) -> tuple[Any, Any, Any]:
    """The LightningModule, the LightningDataModule and the Trainer of a stage, ready to fit."""
    wandb_logger.identify(cfg)
    algorithm = build_algorithm(cfg)
    datamodule = algorithm.datamodule(algorithm=algorithm)
    lineage.check(
        cfg.model.path, datamodule.source, OmegaConf.select(cfg, "data.on_other_split", default="error")
    )
    module = algorithm.module(policy=build_policy(cfg, datamodule.source), algorithm=algorithm)
    trainer = L.Trainer(
        **trainer_options(cfg.hardware),
        **algorithm.trainer,
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


def _save_model(cfg: DictConfig, trainer: Any, module: Any) -> None:
    """Write the weights, and beside them what this stage and those before it held out.

    All processes must call it; on every one it returns when all is there.
    """
    folder, data = Path(cfg.output_dir) / MODEL, trainer.datamodule
    save_policy(module.policy, folder)
    if trainer.is_global_zero:
        split = lineage.Split.of(cfg.algo.name, data.source, data.account.clean.checked)
        lineage.write(folder, [*lineage.read(cfg.model.path), split])
    barrier(trainer.strategy.root_device)


def build_policy(cfg: DictConfig, source: Any) -> Policy:
    """Load ``model.path``, or create a model with a tokenizer made for ``source``."""
    lora = OmegaConf.to_container(cfg.model.lora) if cfg.model.lora else None
    if cfg.model.path is not None:
        return construct(cfg.model.load)(cfg.model.path, lora=lora)
    if cfg.model.create is None:
        raise ConfigError("model.path: this model has no weights of its own; give a folder or a hub id")
    return construct(cfg.model.create)(construct(cfg.data.tokenizer)(source), lora=lora)


def _entries(group: DictConfig | None) -> list[Mapping[str, Any]]:
    return [entry for entry in (group or {}).values() if entry is not None and "_target_" in entry]


def _objects(group: DictConfig | None) -> list[Any]:
    return [construct(entry) for entry in _entries(group)]


def _is_first_process() -> bool:
    return rank_zero_only.rank == 0
