"""Gradient checkpointing that memory does not ask for."""

import pytest
from checkpoints import write_llada
from fakes import TINY_RL, compose

from igpo_lightning.preflight import memory as module
from igpo_lightning.preflight.memory import forecast, spared
from igpo_lightning.preflight.plan import plan_stage
from igpo_lightning.preflight.work import loads_of


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """on or off → (plan, loads) of a small model of many blocks."""
    folder = tmp_path_factory.mktemp("model")
    write_llada(folder)

    def make(on):
        load = f"+model.load.gradient_checkpointing={on}"
        cfg = compose(folder, "algo=grpo", *TINY_RL, "data.on_long=cut", f"model.path={folder}", load)
        plan = plan_stage(cfg)
        return plan, loads_of(plan)

    return {on: make(on) for on in (True, False)}


def test_it_is_said_where_all_activations_fit(planned, monkeypatch):
    plan, loads = planned[True]
    least, most = forecast(plan, loads)[0].peak, forecast(*planned[False])[0].peak
    assert least < most
    monkeypatch.setattr(module, "_available", lambda place: (most, "a machine"))
    assert spared(plan, loads).endswith(
        "model.load.gradient_checkpointing=false spares their second computation"
    )
    assert spared(*planned[False]) is None  # it is off
    monkeypatch.setattr(module, "_available", lambda place: (most - 1, "a machine"))
    assert spared(plan, loads) is None
