"""One evaluation: benchmarks, a model, completions, verdicts, figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L
from hydra.errors import InstantiationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from .. import provenance
from ..checks import ConfigError, existing_path, positive_int
from ..config import construct
from ..console import quieten
from ..data.encoding import Encoder
from ..distributed import ended
from ..files import write_atomic
from ..hardware import check_gpus, trainer_options, use_threads
from ..models import Policy
from ..precision import check_precision, splits_model
from ..processes import connecting
from ..reporting.callbacks import WorkProgress
from ..rewards import extract
from ..stopping import interruptible
from ..types import Problem
from .benchmarks import Benchmark, digest
from .manifest import Manifest, model_identity, prompt_identity
from .module import EvaluationData, EvaluationModule
from .notes import notes
from .plan import Batch, batches_of, tasks_of
from .results import Result, summarise
from .store import Generation, Store, number_of
from .tables import overview, page, remarks


def run(cfg: DictConfig) -> float:
    """Evaluate as ``cfg`` says; returns the mean accuracy over benchmarks (for sweepers).

    Stopped at any moment, the same command goes on where it was and ends with the same results. No
    completion depends on the batch size or the number of processes: every row has its own draws, and a
    batch holds prompts of one length, so that nothing is padded. What is left on a GPU is rounding: its
    libraries may choose another order of summation for another number of rows, which in bfloat16 turns
    the token of a near tie now and then. For comparisons to the last token keep ``batch_size`` as it is.

    Raises:
        ConfigError: Bad settings or data, or ``output_dir`` holds the evaluation of something else.
    """
    if cfg.rescore is not None:
        return rescore(cfg)
    with ended():
        return _evaluate(cfg)


def _evaluate(cfg: DictConfig) -> float:
    if cfg.model.path is None:
        raise ConfigError("model.path: give the folder of a trained model (<run>/model) or a hub id")
    if not cfg.get("benchmark"):
        raise ConfigError("benchmark: choose at least one, such as benchmark=[gsm8k]")
    if cfg.limit is not None:
        positive_int("limit", cfg.limit)
    positive_int("batch_size", cfg.batch_size)
    if splits_model(cfg.hardware):
        raise ConfigError("hardware: evaluation keeps a whole model on every device; choose cpu, gpu or ddp")
    check_gpus(cfg.hardware)
    check_precision(cfg.hardware, trains=False)
    if cfg.model.get("lora"):
        raise ConfigError("model.lora: nothing is trained here; give the folder of an adapter as model.path")
    quieten()
    use_threads(cfg.hardware)
    benchmarks = {name: _benchmark(name, node, cfg) for name, node in cfg.benchmark.items()}
    problems, reward = _problems(cfg, benchmarks), construct(cfg.reward)
    if check := getattr(reward, "check_problems", None):
        check([problem for rows in problems.values() for problem in rows[: cfg.limit]])
    policy = construct(cfg.model.load)(cfg.model.path, lora=None)
    batches, trainer = _batches(cfg, policy, benchmarks, problems), _trainer(cfg)
    folder, manifest = None, None
    if trainer.is_global_zero:
        manifest = _manifest(cfg, policy, trainer, benchmarks, problems)
        folder = Path(cfg.output_dir or f"evaluations/{cfg.model.name}-{manifest.short}")
        manifest = manifest.joined(Manifest.load(folder), folder)
        Store(folder).merge()
        manifest.save(folder)
    samplers = {
        name: construct(cfg.sampler, temperature=benchmark.temperature)
        for name, benchmark in benchmarks.items()
    }
    started, data = time.perf_counter(), EvaluationData(batches, folder, cfg.sampler.length)
    try:
        with connecting(trainer), interruptible(trainer):
            trainer.predict(EvaluationModule(policy, samplers), datamodule=data, return_predictions=False)
    except KeyboardInterrupt:
        if trainer.is_global_zero:
            print(f"\nstopped; to go on, repeat the command (completions are in {data.folder})")
        raise
    if manifest is None or folder is None:
        return 0.0
    manifest.sessions[-1]["seconds"] = round(time.perf_counter() - started, 1)
    return _finish(cfg, folder, manifest)


def _trainer(cfg: DictConfig) -> L.Trainer:
    return L.Trainer(
        **trainer_options(cfg.hardware),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[WorkProgress()],
        inference_mode=False,  # sharded weights are gathered under no_grad
    )


def rescore(cfg: DictConfig) -> float:
    """Judge the saved completions of the folder ``cfg.rescore`` again, and write its figures anew."""
    folder = existing_path("rescore", cfg.rescore)
    manifest = Manifest.load(folder)
    if manifest is None:
        raise ConfigError(f"rescore={cfg.rescore}: no manifest.json in it, so it holds no evaluation")
    manifest.sessions.append({"action": "rescore", **provenance.collect(cfg)})
    return _finish(cfg, folder, manifest)


def judge(reward: Any, rows: Sequence[Generation]) -> list[Generation]:
    """``rows`` with their final answers and verdicts."""
    problems = [Problem(row.id, row.prompt, "", row.gold, row.groups, row.task) for row in rows]
    scores, read = reward(problems, [row.completion for row in rows]), getattr(reward, "read", extract)
    return [
        replace(row, answer=read(row.completion), correct=correct)
        for row, correct in zip(rows, scores.correct.tolist(), strict=True)
    ]


def _finish(cfg: DictConfig, folder: Path, manifest: Manifest) -> float:
    """Verdicts of everything in ``folder``, and figures of what was asked for."""
    store, reward = Store(folder), construct(cfg.reward)
    store.merge()
    results: list[Result] = []
    for name, count in manifest.expected.items():
        if rows := judge(reward, store.read(name)):
            store.replace(name, rows)
        if asked := [row for row in rows if manifest.covers(name, row.number, row.sample)]:
            results.append(summarise(name, asked, count, further=len(rows) - len(asked)))
    if not results:
        raise ConfigError(f"{folder}: no completions in its folder generations")
    manifest.judge = OmegaConf.to_container(cfg.reward, resolve=True)
    manifest.save(folder)
    figures = {"names": manifest.names, "identity": manifest.identity, "results": list(map(asdict, results))}
    write_atomic(folder / "results.json", json.dumps(figures, indent=2) + "\n")
    said = remarks(results, manifest.expected)
    write_atomic(folder / "results.md", page(results, {**manifest.names, **manifest.identity}, said))
    print("", overview(results), "", *said, sep="\n")
    print(f"results: {folder / 'results.md'}   completions: {store.generations}")
    return fmean(result.score.accuracy for result in results)


def _benchmark(name: str, node: DictConfig, cfg: DictConfig) -> Benchmark:
    try:
        benchmark = construct(node)
    except InstantiationException as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        raise ConfigError(f"benchmark.{name}: {error.__cause__}") from None  # a field too few or too many
    heat, key = cfg.sampler.temperature, "sampler.temperature"
    if heat is None:
        heat, key = benchmark.temperature, f"{benchmark.key}.temperature"
    if benchmark.samples > 1 and heat == 0:
        raise ConfigError(
            f"{benchmark.key}.samples={benchmark.samples}: at {key}=0 they would all be the same"
        )
    return replace(benchmark, temperature=heat)


def _problems(cfg: DictConfig, benchmarks: Mapping[str, Benchmark]) -> dict[str, list[Problem]]:
    """The problems of each benchmark; what people should know of them is said."""
    found = {name: benchmark.read() for name, benchmark in benchmarks.items()}
    problems = {name: rows for name, (rows, _) in found.items()}
    for line in notes(cfg, problems, {name: errors for name, (_, errors) in found.items()}):
        if rank_zero_only.rank == 0:
            print(line, flush=True)
    return problems


def _batches(
    cfg: DictConfig,
    policy: Policy,
    benchmarks: Mapping[str, Benchmark],
    problems: Mapping[str, Sequence[Problem]],
) -> list[Batch]:
    """Everything that is asked for, in batches."""
    encoder = Encoder(
        policy.tokenizer,
        prompt=construct(cfg.prompt),
        hints=False,
        on_mask_token="text",
        mask_id=policy.mask_id,
    )
    tasks = {
        name: tasks_of(benchmark, encoder.encode_all(problems[name][: cfg.limit]).prompts, cfg.seed)
        for name, benchmark in benchmarks.items()
    }
    return batches_of(tasks, cfg.batch_size)


def _manifest(
    cfg: DictConfig,
    policy: Policy,
    trainer: L.Trainer,
    benchmarks: Mapping[str, Benchmark],
    problems: Mapping[str, Sequence[Problem]],
) -> Manifest:
    prompt, device = construct(cfg.prompt), trainer.strategy.root_device
    sampler: Any = OmegaConf.to_container(cfg.sampler, resolve=True)
    del sampler["temperature"]
    identity = {
        "model": model_identity(cfg.model.path, OmegaConf.select(cfg, "model.load.revision")),
        "prompt": prompt_identity(prompt, policy.tokenizer),
        "sampler": sampler,
        "quantize": OmegaConf.select(cfg, "model.load.quantize"),
        "dtype": str(next(policy.parameters()).dtype).removeprefix("torch."),
        "precision": str(trainer.precision),
        "device": device.type,
        "seed": cfg.seed,
        "benchmarks": {
            name: {"temperature": benchmark.temperature, "data_sha256": digest(problems[name])}
            for name, benchmark in benchmarks.items()
        },
    }
    counts = {name: len(problems[name][: cfg.limit]) * benchmarks[name].samples for name in benchmarks}
    asked = {
        name: {"last": number_of(problems[name][: cfg.limit][-1].id), "samples": benchmarks[name].samples}
        for name in benchmarks
    }
    session = {
        "action": "evaluate",
        **provenance.collect(cfg),
        "batch_size": cfg.batch_size,
        "processes": trainer.world_size,
        "device": str(device),
    }
    return Manifest(
        identity,
        names={"model": str(cfg.model.path), "prompt": prompt.name},
        expected=counts,
        asked=asked,
        sessions=[session],
    )
