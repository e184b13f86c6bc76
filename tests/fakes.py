"""Tiny stand-ins that tests share: policies, problems, rewards, and everything a fit needs."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig
from torch import Tensor, nn

from igpo_lightning.algos import Algorithm, AllTokens, MeanCentred, Supervised
from igpo_lightning.algos.logprobs import MeanField
from igpo_lightning.algos.losses import ClippedSurrogate, LossInputs
from igpo_lightning.config import build_algorithm, composed
from igpo_lightning.data import RolloutDataModule, SFTDataModule
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import TableSource, WordProblems
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.models import Policy, TokenScores, create_policy
from igpo_lightning.models.head import token_scores
from igpo_lightning.rollout import Keep, RolloutEngine
from igpo_lightning.rollout import inpaint as inpainting
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.sampling.canvas import up_to_stop
from igpo_lightning.seeding import derive, torch_rng
from igpo_lightning.training import MaskedDiffusionSFT, PolicyOptimization
from igpo_lightning.types import Problem, Prompt, Rollout, Scores

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

    sharded = False
    attention = None

    def sampling(self, compiled: bool = True):
        return nullcontext()

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

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores:
        pairs = zip(problems, completions, strict=True)
        draws = [derive("reward", text, problem.answer) % 1000 for problem, text in pairs]
        correct = torch.tensor([draw < 1000 * self.share for draw in draws], dtype=torch.bool)
        return Scores(total=correct.float(), correct=correct, parts={"accuracy": correct.float()})


class HashTerm(HashReward):
    """The same as a term of a reward, for which a text is its own answer."""

    weight = 1.0

    def judge(self, problems: Sequence[Problem], completions: Sequence[str]) -> tuple[Tensor, Sequence[str]]:
        return HashReward.__call__(self, problems, completions).total, completions

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Tensor:
        return self.judge(problems, completions)[0]


class OneSidedReward(HashReward):
    """On the first process everything is correct, so only the others have groups to sample again."""

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores:
        scores = super().__call__(problems, completions)
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
        """All but what is of the machine."""
        return {step: repeatable(row) for step, row in self.rows.items()}


def repeatable(row: Mapping[str, Any]) -> dict[str, Any]:
    """What two equal runs log alike: no times, and no memory."""
    machine = ("rollout/seconds", "seconds", "time/", "memory/")
    return {name: value for name, value in row.items() if not name.startswith(machine)}


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


def inpaint(replace: float = 0.5, ratio: Any = (0.2, 0.6), **changes: Any) -> Any:
    return inpainting(ratio=ratio, replace=replace, chunk=(1, 2), **changes)


def algorithm(**changes: Any) -> Algorithm:
    """GRPO at toy size; a rollout of four prompts in micro-batches of two."""
    parts = {
        "sampler": BlockwiseSampler(WIDTH, BLOCK, 4, temperature=1.0),
        "reward": HashReward(),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
        "inpaint": Keep(),
        "advantage": MeanCentred(),
        "logprobs": MeanField(),
        "token_filter": AllTokens(),
        "loss": ClippedSurrogate(),
        "num_generations": 4,
        "num_iterations": 2,
        "prompts_per_rollout": 4,
        "prompts_per_micro_batch": 2,
    }
    return Algorithm(**{**parts, **changes})


def engine(**changes: Any) -> RolloutEngine:
    return RolloutEngine(algorithm(**changes))


def rollout_batch(
    policy: Policy, prompts: int = 3, group: int = 3, iterations: int = 2, seed: int = 0, logprobs: Any = None
) -> Rollout:
    """Random completions: ragged prompts, some ends of sequence, some hints, any log-probs."""
    rng = torch_rng(seed, "rollout_batch")
    shape = (prompts, group, WIDTH)
    estimator = logprobs or MeanField()
    base = engine(num_generations=group, num_iterations=iterations, seed=seed, logprobs=estimator).run(
        policy, encoded(policy, prompts), 0
    )
    tokens = torch.randint(4, len(policy.tokenizer), shape, generator=rng)
    tokens[:, 0, 5] = policy.eos_id
    tokens[:, 1, 11] = policy.eos_id
    base.tokens = tokens
    base.hint_mask = torch.rand(shape, generator=rng) < 0.3
    base.completion_mask = up_to_stop(tokens, policy.stop_ids)
    base.advantages = torch.randn(shape[:2], generator=rng)
    base.loss_mask = base.completion_mask.unsqueeze(2) & base.loss_mask.new_ones(base.loss_mask.shape)
    if logprobs is not None:
        scored = torch.cat([
            torch.stack([d.scored.expand(shape) for d in estimator.draws(base, i)], 2)
            for i in range(iterations if estimator.renewed else 1)
        ], 2)  # fmt: skip
        base.loss_mask &= scored
    base.old_logps = -4 + torch.randn(base.loss_mask.shape, generator=rng)
    base.ref_logps = -4 + torch.randn(base.loss_mask.shape, generator=rng)
    base.update_tokens = base.loss_mask.sum((1, 3)).sum().float().expand(prompts, 1)
    return base


def loss_inputs(
    logps: Tensor, old: Tensor, ref: Tensor | None, advantages: Tensor, mask: Tensor, **changes: Any
) -> LossInputs:
    """Inputs of a loss that is the whole update, from tensors [P, G, C] of one draw."""
    given = {"logps": logps, "old": old, "ref": ref, "mask": mask, "unfiltered": mask, **changes}
    rest = {"weight": None, "rewards": advantages, "update_tokens": mask.sum().float(), "parts": 1}
    drawn = ("logps", "old", "ref", "mask", "unfiltered", "weight")
    given = {
        name: value.unsqueeze(2) if name in drawn and value is not None else value
        for name, value in {**rest, **given}.items()
    }
    return LossInputs(advantages=advantages, **given)


def gradient(policy: nn.Module) -> Tensor:
    """All gradients as one vector."""
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.requires_grad])


def weights(policy: nn.Module) -> Tensor:
    """All weights as one vector, a copy."""
    return torch.cat([p.detach().flatten() for p in policy.parameters()]).clone()


def rollout_fit(
    policy: Policy, *, rollouts: int = 2, lr: float = 1e-2, **changes: Any
) -> tuple[PolicyOptimization, RolloutDataModule]:
    """Module and datamodule of a small policy optimisation; ``changes`` are of :func:`algorithm`."""
    sizes = {"rollouts": rollouts, "prompts_per_micro_batch": 4}
    whole = algorithm(**{**sizes, "optimizer": partial(torch.optim.AdamW, lr=lr), **changes})
    module = PolicyOptimization(policy=policy, algorithm=whole)
    return module, RolloutDataModule(source=source(), algorithm=whole, eval_batch=4)


class Memory(TableSource):
    """Problems that are in memory, split."""

    def __init__(self, name: str, problems: Sequence[Problem], **sizes: int) -> None:
        super().__init__(**sizes)
        self.name = name
        self.split(problems)


def sft_fit(policy: Policy, *, steps: int = 6, slots: int = 1) -> tuple[MaskedDiffusionSFT, SFTDataModule]:
    """Module and datamodule of a small supervised fine-tuning."""
    stage = supervised(steps=steps, rows_per_micro_batch=4 // slots)
    module = MaskedDiffusionSFT(policy=policy, algorithm=stage)
    return module, SFTDataModule(source=source(), algorithm=stage, eval_batch=4)


def supervised(**changes: Any) -> Supervised:
    parts = {
        "sampler": BlockwiseSampler(WIDTH, BLOCK, 4),
        "reward": HashReward(),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
        "steps": 6,
        "batch_size": 4,
        "rows_per_micro_batch": 4,
        "validate_every": 2,
    }
    return Supervised(**{**parts, **changes})


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
    "algo.rollouts=2",
    "algo.prompts_per_rollout=4",
    "algo.prompts_per_micro_batch=2",
    "algo.num_generations=4",
    "algo.num_iterations=2",
    "algo.validate_every=1",
]


def datamodule(cfg: DictConfig) -> L.LightningDataModule:
    """Of a configured stage, without its module."""
    stage = build_algorithm(cfg)
    return stage.datamodule(algorithm=stage)


def compose(folder: Path, *overrides: str) -> DictConfig:
    """The project's own configuration at tiny sizes, writing into ``folder``."""
    cfg = copy.deepcopy(_composed(overrides))
    cfg.output_dir = str(folder)
    return cfg


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return composed([*TINY, *overrides])
