"""README.md of an exported model: what it is made of, how, and what was measured; and its way to the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from omegaconf import DictConfig, OmegaConf

from .. import provenance
from ..checks import ConfigError
from ..errors import first_line
from ..files import write_atomic
from ..reporting.summary import FILE as SUMMARY
from ..reporting.summary import Accuracy, Summary
from ..reporting.table import accuracy_cell

# Values of a recipe that say how a model came about; the whole config is in the file beside the card.
_RECIPE = (
    "algo.optimizer.lr", "algo.epochs", "algo.steps", "algo.rollouts", "algo.batch_size",
    "algo.prompts_per_rollout", "algo.num_generations", "algo.num_iterations",
    "algo.loss.importance_sampling_level", "algo.loss.epsilon", "algo.loss.beta", "algo.inpaint.ratio",
    "sampler.length", "sampler.block_length", "sampler.steps", "sampler.temperature", "model.lora", "seed",
)  # fmt: skip
CONFIG = "training_config.yaml"

Measured = tuple[str, str, Accuracy]  # stage, split, accuracy


def write_card(run: Path, cfg: DictConfig, model: Path, license: str | None) -> None:
    """Write ``README.md`` and the run's config into a model's folder.

    Args:
        run: Folder of the training run.
        cfg: The run's config.
        model: Folder of the exported model.
        license: Identifier of the hub for the card's metadata, e.g. ``apache-2.0``; None leaves it open.
    """
    base = str(cfg.model.path) if _on_hub(cfg.model.path) else None
    measured = list(_measured(run))
    # Test accuracy alone counts as a result; what was chosen on is in the table.
    tested = [figure for _, split, figure in measured if split == "test"]
    data = ModelCardData(
        base_model=base,
        license=license,
        library_name="igpo_lightning",
        datasets=[str(cfg.data.path)] if _on_hub(OmegaConf.select(cfg, "data.path")) else None,
        tags=["masked-diffusion", "igpo-lightning", str(cfg.algo.name)],
        model_name=f"{cfg.model.name}-{cfg.algo.name}",
        eval_results=[_result(cfg, figure) for figure in tested] or None,
    )
    write_atomic(model / CONFIG, OmegaConf.to_yaml(cfg))
    text = "\n\n".join(_sections(run, cfg, measured, base, license))
    write_atomic(model / "README.md", f"---\n{data.to_yaml()}\n---\n\n{text}\n")
    ModelCard.load(model / "README.md")  # what it can't read, the hub can't


def check_hub_id(hub_id: str) -> None:
    """Refuse what is not NAME/MODEL."""
    try:
        validate_repo_id(hub_id)
    except HFValidationError as error:
        raise ConfigError(f"push={hub_id}: {first_line(error)}; give push=NAME/MODEL") from None
    if "/" not in hub_id:
        raise ConfigError(f"push={hub_id}: whose? Give push=NAME/MODEL")


def push(model: Path, hub_id: str) -> str:
    """Upload a model's folder into a repository of the hub, which is made (private) if it is not there.

    Returns:
        The commit's address.

    Raises:
        ConfigError: No access, or no connection.
    """
    api = HfApi()
    try:
        api.create_repo(hub_id, private=True, exist_ok=True)
        return str(api.upload_folder(repo_id=hub_id, folder_path=model))
    except Exception as error:  # of the HTTP library, of which each version of the hub's has another one
        raise ConfigError(
            f"push={hub_id}: {first_line(error)}; the model is in {model}. Is there a connection? Log in "
            "with `hf auth login` or HF_TOKEN"
        ) from error


def _sections(
    run: Path, cfg: DictConfig, measured: Sequence[Measured], base: str | None, license: str | None
) -> Iterator[str]:
    yield f"# {cfg.model.name}, trained with {str(cfg.algo.name).upper()} on {cfg.data.name}"
    origin = f"[{base}](https://huggingface.co/{base})" if base else "a model trained from scratch"
    yield (
        f"A masked diffusion language model: {origin}, post-trained with igpo_lightning. "
        f"`igpo_lightning.load_policy(FOLDER)` loads it, `igpo-sample model.path=FOLDER` talks to it."
    )
    rows = [f"| {name} | {split} | {accuracy_cell(figure)} |" for name, split, figure in measured]
    if rows:
        yield "\n".join(["## Accuracy", "", "| | problems | greedy |", "|---|---|---|", *rows])
    recipe = [(key, OmegaConf.select(cfg, key)) for key in _RECIPE]
    lines = [f"| `{key}` | `{_value(value)}` |" for key, value in recipe if value is not None]
    yield "\n".join(
        ["## Recipe", "", f"All settings: [{CONFIG}]({CONFIG}).", "", "| | |", "|---|---|", *lines]
    )
    yield "## Data\n\n" + _data(cfg)
    yield "## Where it comes from\n\n" + _origin(run)
    if license is None:
        yield "## Licence\n\nNot stated; it has to suit the base model's and the data's (`license=`)."


def _measured(run: Path) -> Iterator[Measured]:
    """(stage, split, accuracy), in the order of the run."""
    if not (run / SUMMARY).is_file():
        return
    for stage in Summary.load(run).stages:
        for split, figure in (("validation, before", stage.accuracy_before),
                              ("validation, after", stage.accuracy_after), ("test", stage.test)):  # fmt: skip
            if figure is not None:
                yield stage.name, split, figure


def _result(cfg: DictConfig, figure: Accuracy) -> EvalResult:
    return EvalResult(
        task_type="text-generation",
        dataset_type=str(OmegaConf.select(cfg, "data.path") or cfg.data.name),
        dataset_name=f"{cfg.data.name}, {figure.n} held-out problems",
        metric_type="accuracy",
        metric_value=round(figure.value, 4),
    )


def _on_hub(path: Any) -> bool:
    """True for NAME/MODEL that is no folder here."""
    return isinstance(path, str) and path.count("/") == 1 and path[0] not in "./~" and not Path(path).exists()


def _value(value: Any) -> str:
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return json.dumps(plain) if isinstance(plain, (dict, list)) else str(plain)


def _data(cfg: DictConfig) -> str:
    sizes = {key: OmegaConf.select(cfg, f"data.{key}") for key in ("split_seed", "val_size", "test_size")}
    held = ", ".join(f"`data.{key}={value}`" for key, value in sizes.items() if value is not None)
    return (
        f"`data={cfg.data.name}`. What was held out ({held}) is listed by hash in `lineage.json`: judge the "
        "model on these problems, or on others, never on those it was trained on."
    )


def _origin(run: Path) -> str:
    path = run / provenance.FILE
    if not path.is_file():
        return "The run has left no record."
    first, *later = provenance.starts(json.loads(path.read_text(encoding="utf-8")))
    known = later[-1] if later else first
    git, packages = known.get("git") or {}, known.get("packages") or {}
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "transformers") if packages.get(name)
    )
    dirty = " (with changes that were not committed)" if git.get("dirty") else ""
    resumed = "".join(f", resumed {start.get('started')}" for start in later)
    commands = "\n".join(str(start.get("command")) for start in (first, *later))
    return (
        f"Begun {first.get('started')}{resumed}; igpo_lightning {packages.get('igpo-lightning')}, commit "
        f"{git.get('commit', 'unknown')}{dirty}; {versions}.\n\n```bash\n{commands}\n```"
    )
