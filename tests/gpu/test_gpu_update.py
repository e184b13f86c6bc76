"""The update on a GPU: one kernel for AdamW, and chunks of the head that are the same in all passes."""

import pytest
import torch
from fakes import MemoryLogger, rollout_fit, tiny_policy, trainer, weights

from igpo_lightning.algos.logprobs import RandomMasking
from igpo_lightning.models import head
from igpo_lightning.training.optimizers import AdamW

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


def fitted(folder, fused, precision="32-true"):
    module, data = rollout_fit(tiny_policy(), rollouts=2, logprobs=RandomMasking(), prompts_per_micro_batch=2)
    module.algorithm.optimizer = lambda parameters: AdamW(parameters, lr=1e-3, fused=fused)
    logger = MemoryLogger()
    run = trainer(folder, accelerator="gpu", precision=precision, logger=logger)
    run.fit(module, datamodule=data)
    return run, weights(module.policy.cpu()), logger.rows


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_fused_step_is_the_default_and_ends_where_torchs_does(tmp_path, precision):
    run, found, rows = fitted(tmp_path, None, precision)
    assert run.optimizers[0].param_groups[0]["fused"] is True
    plain, expected, _ = fitted(tmp_path, False, precision)
    assert not plain.optimizers[0].param_groups[0]["fused"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    first = rows[0]
    assert first["rollout/drift_max"] == 0.0  # all passes are cut alike
    assert 0 < first["memory/gib_max"] < 10 and first["time/tokens_per_second"] > 0


def test_chunks_follow_the_memory(monkeypatch):
    gpu = torch.device("cuda", torch.cuda.current_device())
    head.room.cache_clear()
    assert head.room(gpu) == head.chunk_of(torch.cuda.mem_get_info(gpu)[0] + torch.cuda.memory_reserved(gpu)
                                           - torch.cuda.memory_allocated(gpu))  # fmt: skip
    assert 2**23 <= head.room(gpu) <= 2**28
