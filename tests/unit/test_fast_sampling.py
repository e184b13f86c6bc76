"""The settings that experiments/fast_sampling compares."""

import sys
from pathlib import Path

import pytest

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "fast_sampling"


@pytest.mark.slow
def test_every_setting_is_a_sampler_and_those_called_exact_are(monkeypatch):
    from hydra.utils import instantiate

    from igpo_lightning.config import composed

    monkeypatch.setattr(sys, "path", [str(EXPERIMENT), *sys.path])
    monkeypatch.delitem(sys.modules, "run", raising=False)  # experiments/claims has one of this name
    import run

    monkeypatch.delitem(sys.modules, "run")
    for name, changes in run.SETTINGS.items():
        overrides = ["experiment=quickstart", "output_dir=.", *run.with_rule(changes)]
        sampler = instantiate(composed(overrides).sampler)
        exact = name.startswith("exact") or name.startswith("fewer steps")
        assert sampler.approximate != exact, name
