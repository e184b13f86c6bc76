"""Tiny stand-ins that tests share: policies, problems, rewards, and everything a fit needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig
from torch import Tensor, nn

from igpo_lightning.algos import AllTokens, MeanCentred
from igpo_lightning.algos.logprobs import MeanField
from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.config import find_conf
from igpo_lightning.data import RolloutDataModule, SFTDataModule
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import TableSource, WordProblems
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.models import Policy, TokenScores, create_policy
from igpo_lightning.models.head import token_scores
from igpo_lightning.modules import MaskedDiffusionSFT, PolicyOptimization
from igpo_lightning.rollout import ChunkPlacer, Inpaint, Keep, RolloutEngine
from igpo_lightning.sampling import LowConfidenceSampler
from igpo_lightning.sampling.canvas import up_to_stop
from igpo_lightning.seeding import derive, torch_rng
from igpo_lightning.types import Problem, Prompt, RolloutBatch, Scores

WIDTH, BLOCK = 16, 8
LORA = {"rank": 2, "alpha": 4, "targets": ["q_proj", "v_proj", "down_proj"]}


class FixedPolicy(nn.Module):
    """A policy whose logits are a function of the canvas; it remembers every canvas it was shown.

    Args:
        logits: [B, L] tokens → [B, L, V] logits.
        end_id: What ends a completion, if that is another token than eos.
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        mask_id: int = 1,
        eos_id: int = 0,
        tokenizer: Any = None,
        end_id: int | None = None,
    ):
        super().__init__()
        self.logits, self.mask_id, self.eos_id, self.pad_id = logits, mask_id, eos_id, eos_id
        self.stop_ids = (eos_id,) if end_id is None else (end_id, eos_id)
        self.end_id = self.stop_ids[0]
        self.tokenizer = tokenizer
        self.anchor = nn.Parameter(torch.zeros(()))
        self.calls: list[Tensor] = []

    def forward(
        self,
        tokens: Tensor,
        attention: Tensor | None = None,
        positions: Tensor | None = None,
        targets: Tensor | None = None,
        entropy: bool = False,
    ) -> Tensor | TokenScores:
        self.calls.append(tokens.clone())
        logits = self.logits(tokens) + self.anchor
        if positions is not None:
            logits = logits[positions]
        return logits if targets is None else token_scores(logits.flatten(0, -2), targets, entropy)


class HashReward:
    """Calls a share of all texts correct, always the same ones: mixed and all-wrong groups."""

    def __init__(self, share: float = 0.2):
        self.share = share

    def __call__(self, completions: list[str], answers: list[str]) -> Scores:
        draws = [
            derive("reward", text, answer) % 1000 for text, answer in zip(completions, answers, strict=True)
        ]
        correct = torch.tensor([draw < 1000 * self.share for draw in draws])
        return Scores(total=correct.float(), correct=correct, parts={"accuracy": correct.float()})


class OneSidedReward(HashReward):
    """On the first process everything is correct, so only the others have groups to sample again."""

    def __call__(self, completions: list[str], answers: list[str]) -> Scores:
        scores = super().__call__(completions, answers)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            scores.correct[:] = True
        return scores


class MemoryLogger(Logger):
    """Keeps what is logged: ``rows[step][name]``."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    name = version = "memory"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.setdefault(step, {}).update(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def repeatable(self) -> dict[int, dict[str, float]]:
        """All but wall-clock times."""
        return {step: {k: v for k, v in row.items() if "seconds" not in k} for step, row in self.rows.items()}


def source(**changes: Any) -> WordProblems:
    """Stories of one or two steps, so that prompts are ragged; a trace with its end fills 8 or 14 tokens."""
    return WordProblems(
        **{
            "train_size": 24,
            "val_size": 4,
            "test_size": 4,
            "steps": (1, 2),
            "people": 1,
            "max_number": 31,
            **changes,
        }
    )


def tiny_policy(seed: int = 0, **changes: Any) -> Policy:
    """One bidirectional layer of width 16, with weights large enough that every input matters."""
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "mlp_size": 32}
    policy = create_policy(word_level(source().vocabulary()), seed=seed, **{**sizes, **changes})
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.dim() > 1 and "lora" not in name:
                weight.mul_(8)
    return policy


def encoded(policy: Policy, count: int, width: int = WIDTH) -> list[Prompt]:
    """The first ``count`` training problems as token ids."""
    return list(Encoder(policy.tokenizer, max_response=width).encode_all(source().train[:count]).prompts)


def inpaint(replace: float = 0.5, ratio: Any = (0.2, 0.6)) -> Inpaint:
    return Inpaint(ChunkPlacer((1, 2)), ratio=ratio, replace=replace)


def engine(**changes: Any) -> RolloutEngine:
    parts = {
        "sampler": LowConfidenceSampler(WIDTH, BLOCK, 4, temperature=1.0),
        "reward": HashReward(),
        "intervention": Keep(),
        "advantage": MeanCentred(),
        "logprobs": MeanField(),
        "token_filter": AllTokens(),
        "group_size": 4,
        "inner_updates": 2,
        "prompts_per_forward": 2,
    }
    return RolloutEngine(**{**parts, **changes})


def rollout_batch(
    policy: Policy, prompts: int = 3, group: int = 3, views: int = 2, seed: int = 0
) -> RolloutBatch:
    """A window of random completions: ragged prompts, some ends of sequence, some hints, any log-probs."""
    rng = torch_rng(seed, "rollout_batch")
    shape = (prompts, group, WIDTH)
    base = engine(group_size=group, inner_updates=views, seed=seed).run(
        policy, encoded(policy, prompts), window=0
    )
    completions = torch.randint(4, len(policy.tokenizer), shape, generator=rng)
    completions[:, 0, 5] = policy.eos_id
    completions[:, 1, 11] = policy.eos_id
    base.completions = completions
    base.hint_mask = torch.rand(shape, generator=rng) < 0.3
    base.loss_mask = up_to_stop(completions, policy.stop_ids)
    base.advantages = torch.randn(shape[:2], generator=rng)
    base.keep = base.loss_mask.expand(views, *shape).clone()
    base.old_logps = -4 + torch.randn((views, *shape), generator=rng)
    base.ref_logps = -4 + torch.randn((views, *shape), generator=rng)
    return base


def gradient(policy: nn.Module) -> Tensor:
    """All gradients as one vector."""
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.requires_grad])


def weights(policy: nn.Module) -> Tensor:
    """All weights as one vector, a copy."""
    return torch.cat([p.detach().flatten() for p in policy.parameters()]).clone()


def rollout_fit(
    policy: Policy,
    *,
    windows: int = 2,
    per_window: int = 4,
    per_step: int = 4,
    updates_per_pass: int = 1,
    validate_every: int = 1,
    loss: Any = None,
    sampling: RolloutEngine | None = None,
    lr: float = 1e-2,
) -> tuple[PolicyOptimization, RolloutDataModule]:
    """Module and datamodule of a small policy optimisation."""
    sampling = sampling or engine(prompts_per_forward=per_step)
    module = PolicyOptimization(
        policy=policy,
        logprobs=sampling.logprobs,
        loss=loss or ClippedSurrogate(),
        optimizer=partial(torch.optim.AdamW, lr=lr),
        sampler=sampling.sampler,
        reward=sampling.reward,
    )
    data = RolloutDataModule(
        source=source(),
        engine=sampling,
        windows=windows,
        prompts_per_window=per_window,
        prompts_per_step=per_step,
        inner_updates=sampling.inner_updates,
        updates_per_pass=updates_per_pass,
        validate_every=validate_every,
        length=WIDTH,
        eval_batch=4,
    )
    return module, data


class Memory(TableSource):
    """Problems that are in memory, split."""

    def __init__(self, name: str, problems: Sequence[Problem], **sizes: int) -> None:
        super().__init__(**sizes)
        self.name = name
        self.split(problems)


def sft_fit(policy: Policy, *, steps: int = 6, slots: int = 1) -> tuple[MaskedDiffusionSFT, SFTDataModule]:
    """Module and datamodule of a small supervised fine-tuning."""
    module = MaskedDiffusionSFT(
        policy=policy,
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        sampler=LowConfidenceSampler(WIDTH, BLOCK, 4),
        reward=HashReward(),
    )
    data = SFTDataModule(
        source=source(),
        steps=steps,
        batch_size=4,
        rows_per_step=4 // slots,
        validate_every=2,
        length=WIDTH,
        eval_batch=4,
    )
    return module, data


def trainer(folder: Path, **changes: Any) -> L.Trainer:
    """A Trainer set up as a training run sets up its own."""
    options = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
        "gradient_clip_val": 0.5,
    }
    return L.Trainer(default_root_dir=folder, **{**options, **changes})


TINY = [
    "data.source.train_size=24",
    "++data.sft_size=24",  # data of other kinds have no such key
    "data.source.steps=[1,2]",
    "data.source.people=1",
    "data.source.max_number=31",
    "data.val_size=4",
    "data.test_size=4",
    "data.eval_batch=4",
    "model.create.hidden_size=16",
    "model.create.layers=1",
    "model.create.heads=2",
    "model.create.mlp_size=32",
    "sampler.length=16",
    "sampler.block_length=8",
    "sampler.steps=4",
    "logger=none",
    "callbacks=none",
]
TINY_RL = [
    "algo.windows=2",
    "algo.prompts_per_window=4",
    "algo.prompts_per_step=2",
    "algo.group_size=4",
    "algo.inner_updates=2",
    "algo.validate_every=1",
]


def compose(folder: Path, *overrides: str) -> DictConfig:
    """The project's own configuration at tiny sizes, writing into ``folder``."""
    with hydra.initialize_config_dir(str(find_conf().absolute()), version_base="1.3"):
        return hydra.compose("train", [*TINY, f"output_dir={folder}", *overrides])
