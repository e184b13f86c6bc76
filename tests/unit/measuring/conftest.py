"""A small bench on made-up weights: sizes at which a turn takes milliseconds."""

from __future__ import annotations

import pytest

from igpo_lightning.config import composed as compose
from igpo_lightning.measuring.workload import workload_of

SMALL = (
    *("model.create.hidden_size=16", "model.create.layers=2", "model.create.heads=2"),
    *("model.create.mlp_size=24", "vocabulary=32", "prompt_length=4", "prompts=2", "repeats=1"),
    *("sampler.length=8", "sampler.block_length=4", "sampler.steps=4", "algo.num_generations=2"),
    *("algo.num_iterations=2", "cases.sampling={few_steps: null, prefix_cache: null, dual_cache: null}"),
)


@pytest.fixture
def composed_plain(tmp_path):
    """Overrides → the config of a bench that writes into ``tmp_path``."""

    def of(*overrides):
        return compose([f"output_dir={tmp_path / 'out'}", *overrides], "bench")

    return of


@pytest.fixture
def composed(composed_plain):
    """Overrides → the config of a small bench."""
    return lambda *overrides: composed_plain(*SMALL, *overrides)


@pytest.fixture
def workload(composed):
    """Overrides → the workload of a small bench."""
    return lambda *overrides: workload_of(composed(*overrides))
