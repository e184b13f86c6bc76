"""A precision works, or is refused in one line before anything is loaded."""

from types import SimpleNamespace

import pytest
import torch
from fakes import LORA, TINY, TINY_RL, compose, rollout_fit, tiny_policy, trainer, weights
from lightning.pytorch.strategies import DDPStrategy

from igpo_lightning.checks import ConfigError
from igpo_lightning.evaluation.program import run as evaluate
from igpo_lightning.models import load_policy
from igpo_lightning.precision import check_precision
from igpo_lightning.training.run import run
from igpo_lightning.training.strategies import FullySharded

ON_CPU = ["32-true", "bf16-mixed", "bf16-true", "64-true"]
GPU = {"accelerator": "gpu", "strategy": "auto"}


ADAPTERS = "{rank: 2, alpha: 4, targets: [q_proj, down_proj]}"
FAST = {("bf16-mixed", ADAPTERS), ("bf16-true", ADAPTERS), ("64-true", "null")}


@pytest.mark.parametrize(
    "precision, lora",
    [
        pytest.param(precision, lora, marks=[] if (precision, lora) in FAST else pytest.mark.slow)
        for precision in ON_CPU
        for lora in ("null", ADAPTERS)
    ],
)
def test_both_stages_under(tmp_path, precision, lora):
    sizes = [o for o in TINY if not o.startswith("data.test_size")]
    warm = 'warm_start=["algo.steps=3","algo.batch_size=4","algo.validate_every=2"]'
    masking = "algo.logprobs._target_=igpo_lightning.algos.logprobs.RandomMasking"
    cfg = compose(tmp_path, *sizes, *TINY_RL, "data.test_size=3", "report=false", warm, masking,
                  f"hardware.precision={precision}", f"model.lora={lora}")  # fmt: skip
    assert run(cfg) is not None
    assert torch.get_default_dtype() == torch.float32
    saved = load_policy(str(tmp_path / "model"))
    assert weights(saved).isfinite().all()


@pytest.mark.parametrize("precision", ON_CPU)
def test_random_draws_do_not_depend_on_it(precision):
    """Masks and uniforms are drawn in float32 and float64, whatever new tensors are by default."""
    from igpo_lightning.sampling import BlockwiseSampler
    from igpo_lightning.seeding import torch_rng
    from igpo_lightning.training.sft import draw_masks

    sampler = BlockwiseSampler(16, 8, 4, temperature=1.0)

    def drawn():
        return *draw_masks((6, 9), 1e-3, torch_rng(3, "x")), sampler._uniforms([1, 2], 2, torch.device("cpu"))

    expected = drawn()
    with trainer("/nonexistent", precision=precision).precision_plugin.forward_context():
        for ours, theirs in zip(drawn(), expected, strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


@pytest.mark.parametrize("hardware, reason", [
    ({"accelerator": "cpu", "precision": "16-mixed"}, "float16 needs a GPU"),
    ({"accelerator": "cpu", "precision": "16-true"}, "float16 needs a GPU"),
    ({"precision": "16-true"}, "epsilon of AdamW"),
    ({"precision": "transformer-engine"}, "expected one of 32-true"),
    ({"precision": "bf17"}, "expected one of 32-true"),
    ({"precision": "64-true", "strategy": "deepspeed_stage_2"}, "DeepSpeed does not offer it"),
    ({"precision": "64-true", "strategy": {"_target_": "lightning.pytorch.strategies.DeepSpeedStrategy"}},
     "DeepSpeed does not offer it; take one of 32-true, bf16-mixed, bf16-true, 16-mixed, 16-true"),
    ({"precision": "16-mixed", "strategy": {"_target_": "igpo_lightning.training.strategies.FullySharded"}},
     "FSDP does not offer it"),
])  # fmt: skip
def test_what_can_not_work_is_refused_by_name(hardware, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        check_precision({**GPU, **hardware}, trains=True)
    assert f"hardware.precision={hardware['precision']}" in str(refused.value)


def test_what_works_elsewhere_is_allowed():
    deepspeed = {"strategy": "deepspeed_stage_3_offload", "precision": "16-true"}
    assert check_precision({**GPU, **deepspeed}, trains=True) is None  # trains float32 copies
    assert check_precision({**GPU, "precision": "16-true"}, trains=False) is None
    assert check_precision({**GPU, "precision": "16-mixed"}, trains=True) is None
    assert "bf16-mixed" in check_precision({**GPU, "precision": "bf16-true"}, trains=True)


def test_the_programs_refuse_before_they_load_a_model(tmp_path):
    precision = "hardware.precision=16-true"
    with pytest.raises(ConfigError, match=r"hardware\.precision=16-true"):
        run(compose(tmp_path / "run", precision, "model.path=/no/such/model"))
    assert not (tmp_path / "run").exists()
    cfg = SimpleNamespace(
        rescore=None,
        model=SimpleNamespace(path="/no/such/model"),
        limit=None,
        batch_size=4,
        get=lambda key: {"x": 1},
        hardware={**GPU, "accelerator": "cpu", "precision": "16-mixed"},
    )
    with pytest.raises(ConfigError, match=r"hardware\.precision=16-mixed"):
        evaluate(cfg)


def changed(folder, policy, **options):
    """(share of the trained weights that changed, their dtype, all) in 40 updates at 5e-7."""
    module, data = rollout_fit(policy, rollouts=20, lr=5e-7)
    before = {n: p.detach().float().clone() for n, p in policy.named_parameters()}
    trainer(folder, **options).fit(module, datamodule=data)
    trained = {n: p for n, p in policy.named_parameters() if p.requires_grad}
    dtypes = {p.dtype for p in trained.values()}

    def whole(p):
        return p.full_tensor() if hasattr(p, "full_tensor") else p

    moved = sum((whole(p).detach().float() != before[n]).sum().item() for n, p in trained.items())
    return moved / sum(whole(p).numel() for p in trained.values()), dtypes


STRATEGIES = {
    "one": dict,
    "ddp": lambda: {"strategy": DDPStrategy(process_group_backend="gloo")},
    "fsdp": lambda: {"strategy": FullySharded(process_group_backend="gloo"), "gradient_clip_val": None},
}


@pytest.mark.parametrize(
    ("strategy", "lora"),
    [
        pytest.param(strategy, lora, marks=[pytest.mark.slow] if strategy != "one" and lora else [], id=name)
        for strategy in STRATEGIES
        for lora, name in ((None, f"{strategy}-full"), (LORA, f"{strategy}-lora"))
    ],
)
def test_a_model_in_bfloat16_is_trained_in_float32(tmp_path, strategy, lora):
    policy = tiny_policy().to(torch.bfloat16)
    if lora:
        from igpo_lightning.models.adapters import add_lora

        policy.model = add_lora(policy.model, **lora)
    try:
        share, dtypes = changed(tmp_path, policy, precision="bf16-mixed", **STRATEGIES[strategy]())
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert dtypes == {torch.float32}
    frozen = {p.dtype for p in policy.parameters() if not p.requires_grad}
    assert frozen == ({torch.bfloat16} if lora else set())
    print(f"{strategy} {lora}: {share:.4f}")
    assert share > (0.3 if lora else 0.8)  # LoRA's B starts at 0; tokens that never occur have no gradient


def test_weights_in_bfloat16_would_stay_where_they_are(tmp_path):
    share, dtypes = changed(tmp_path, tiny_policy().to(torch.bfloat16), precision="bf16-true")
    print(f"bf16-true: {share:.4f}")
    assert dtypes == {torch.bfloat16} and share < 0.05
