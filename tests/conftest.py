"""What all tests share. No test reaches the network; real data is used only where it lies at hand."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports the libraries that read them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """``real_data("gsm8k")``: that folder of the original data sets (``$IGPO_DATA``), or a skip."""

    def folder(name: str) -> Path:
        found = Path(os.environ.get("IGPO_DATA", ROOT.parent / "shared" / "data")) / name
        if not found.is_dir():
            pytest.skip(f"no {found}: set IGPO_DATA to the folder of the original data sets")
        return found

    return folder


@pytest.fixture(scope="session", autouse=True)
def conf_is_parsed_once() -> Iterator[None]:
    """Parsing the same YAML files is a third of a composition, and tests compose a thousand times."""
    load, parsed = OmegaConf.load, {}

    def remembering(file_):
        path = Path(getattr(file_, "name", file_))
        if ROOT not in path.parents:
            return load(file_)
        key = (path, path.stat().st_mtime_ns)
        if key not in parsed:
            parsed[key] = load(file_)
        return copy.deepcopy(parsed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(remembering))
        yield


_TREE = {
    "train.yaml": """
# A small program.
defaults:
  - _self_
  - algo: igpo
  - data: toy
  - experiment: null
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
seed: 0
name: small
verbose: false
output_dir: ${hydra:runtime.output_dir}
""",
    "algo/igpo.yaml": """
defaults: [grpo]
inpaint: {ratio: [0.2, 0.6], replace: 0.5}
token_filter: {top_entropy_quantile: 0.2}
""",
    "algo/grpo.yaml": "num_generations: 8\nnum_iterations: 2\nlr: 1e-3\nkl: null\n",
    "data/toy.yaml": "levels: [1, 2]\nsize: ${algo.num_generations}\n",
    "data/jsonl.yaml": "path: ???\n",
    "data/dangling.yaml": "size: ${algo.nothing}\n",
    "experiment/broken.yaml": "# @package _global_\nalgo: {num_generations: 1}\n",
    "experiment/seeds.yaml": (
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {algo.num_iterations: '1,0'}}}\n"
    ),
}


@pytest.fixture
def conf_tree(tmp_path: Path) -> Path:
    """A small configuration tree of the same shape as ``conf/``."""
    for name, text in _TREE.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return tmp_path / "conf"
