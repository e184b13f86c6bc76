"""An algorithm: everything that is done to a policy, as one object that is built once from ``conf/algo``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..amounts import positive_int
from ..checks import ConfigError, num_generations, reading_first_box
from ..contracts import part
from ..sampling.row_budget import RowBudget
from ..types import Problem, Rollout, Scores
from .logprobs import LogProbs
from .losses import PolicyLoss
from .reference import Kept, Reference


class Reward(Protocol):
    """Texts to scores; a problem's ``meta`` carries what a reward needs besides its answer."""

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores: ...


@dataclass
class Stage:
    """Pieces and settings that every stage of a run has.

    Attributes:
        sampler: Fills canvases; its ``length`` is the completion width C.
        reward: Scores texts.
        name: Of the stage, in folders and reports.
        warm_start: Option of ``conf/algo`` that trains a model which has no weights yet; None: none.
        optimizer: parameters → optimiser.
        scheduler: (optimiser, total updates) → learning-rate scheduler; None keeps the rate.
        trainer: Options of Lightning's Trainer.
        module, datamodule: (algorithm=…) → the stage's LightningModule and LightningDataModule.
        compat: Switches to what published code does, read by other keys.
        seed: Of all draws.
    """

    sampler: Any
    reward: Reward
    _: KW_ONLY
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[..., Any] | None = None
    module: Callable[..., Any] | None = None
    datamodule: Callable[..., Any] | None = None
    name: str = ""
    warm_start: str | None = None
    validate_every: int = 1
    epochs: float | None = None
    trainer: Mapping[str, Any] = field(default_factory=dict)
    compat: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass
class Supervised(Stage):
    """Masked-diffusion supervised fine-tuning.

    Attributes:
        steps, epochs: Updates of the run, passes over the training set; it ends at what comes first.
        batch_size: Rows of an update, of all processes together.
        rows_per_micro_batch: Most rows of a micro-batch, per process.
        supervise_padding: Whether the end and the fill behind it are learnt: "all", "one" or "none".
    """

    _: KW_ONLY
    batch_size: int
    rows_per_micro_batch: int
    steps: int | None = None
    supervise_padding: str = "all"


@dataclass
class Algorithm(Stage):
    """Policy optimisation on rollouts (GRPO, IGPO and kin).

    Attributes:
        inpaint: What happens to groups after they are scored: (rollout, resampler) → (rollout, report).
        advantage: [P, G] rewards → [P, G] (or [P, G, C]) advantages.
        logprobs: Estimator of token log-probabilities.
        token_filter: Which tokens carry gradient: (loss_mask, hint_mask, entropy) → mask, all [P, G, C].
        loss: :class:`~igpo_lightning.algos.losses.LossInputs` → (loss, metrics).
        num_generations: G, completions of a prompt; at least 2.
        num_iterations: μ, passes over a rollout.
        updates_per_iteration: Updates in one pass; the micro-batches of a pass are shared among them.
        rollouts, epochs: Rollouts of the run, passes over the training set; it ends at what comes first.
        prompts_per_rollout: P, of all processes together.
        prompts_per_micro_batch: Most prompts of a micro-batch, per process.
        draws_per_micro_batch: Most draws of the estimator in a micro-batch; None: all of them at once. With
            fewer, the loss's gradient by the log-probs is taken first and then sent through the policy
            draw by draw: the same gradient, and memory that does not grow with the draws.
        rows_per_forward: Most canvases per sampling call; "auto": as many as memory holds, found by trying.
        validate_every: Rollouts between two validations.
        tokens_after_eos: Train on the whole canvas, and not only up to a completion's end.
        first_box: Score completions by their first box (``reward.first_box()``). Held-out ones are not.
        fidelity: Comparison of a fast sampler with the exact one
            (:class:`~igpo_lightning.rollout.Fidelity`); None: none.
        reference: Whether there are weights that the loss compares the policy with, and if they move.
        select: Which groups are learnt from: (rollout, resampler) → (rollout, report); None: all.
        credit: Which tokens an advantage goes to: (rollout, entropy, resampler) → advantages; None: all of a
            completion's.
    """

    _: KW_ONLY
    inpaint: Callable[..., Any]
    advantage: Callable[[Tensor], Tensor]
    logprobs: LogProbs
    token_filter: Callable[[Tensor, Tensor, Tensor], Tensor]
    loss: PolicyLoss
    num_generations: int
    num_iterations: int
    prompts_per_rollout: int
    prompts_per_micro_batch: int
    draws_per_micro_batch: int | None = None
    rows_per_forward: int | str = 1024
    updates_per_iteration: int = 1
    rollouts: int | None = None
    tokens_after_eos: bool = False
    first_box: bool = False
    fidelity: Any | None = None
    reference: Reference = field(default_factory=Kept)
    select: Callable[..., Any] | None = None
    credit: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self._check_parts()
        num_generations(self.num_generations)
        for name in ("num_iterations", "updates_per_iteration", "prompts_per_micro_batch"):
            positive_int(f"algo.{name}", getattr(self, name))
        self.row_budget = RowBudget(self.rows_per_forward)
        if getattr(self.logprobs, "needs_step_entropy", False):
            if not hasattr(self.sampler, "recording"):
                raise ConfigError(
                    "algo.logprobs.choose=entropy: the sampler can't record the entropy of its steps; take "
                    "choose=even"
                )
            self.sampler = self.sampler.recording()
        least = getattr(getattr(self.inpaint, "hints", None), "least_width", 1)
        if least > 1 and self.sampler.length < least:
            raise ConfigError(
                f"sampler.length={self.sampler.length}: stretched hints leave so many last columns free that "
                f"none fits a canvas below {least}; take algo.compat.stretched_hints=false, or a wider one"
            )
        if self.draws_per_micro_batch is not None:
            positive_int("algo.draws_per_micro_batch", self.draws_per_micro_batch)
        if self.loss.needs_reference and not self.reference.there:
            raise ConfigError(
                "algo.reference: none, but algo.loss compares the policy with one: take algo/reference=kept, "
                "or a loss without (algo.loss.beta=0)"
            )
        # Held-out completions are judged by ``reward`` as ever.
        self.training_reward = reading_first_box("reward", self.reward) if self.first_box else self.reward

    def _check_parts(self) -> None:
        """Refuse parts that lack something, or that don't go together."""
        part("algo.loss", self.loss, "needs_reference")
        for name in ("inpaint", "advantage", "token_filter"):
            part(f"algo.{name}", getattr(self, name))
        for name in ("select", "credit"):
            if (piece := getattr(self, name)) is not None:
                part(f"algo.{name}", piece)
        credit, loss = type(self.credit).__name__, type(self.loss).__name__
        takes_tokens = getattr(self.loss, "takes_token_advantages", True)
        if getattr(self.credit, "of_tokens", False) and not takes_tokens:
            raise ConfigError(
                f"algo.credit: {credit} gives each token an advantage of its own, and algo.loss={loss} takes "
                "one of each completion: take algo/credit=per_completion, or algo/loss=clipped"
            )
        if getattr(self.credit, "needs_same_draws", False) and self.logprobs.renewed:
            raise ConfigError(
                f"algo.credit: {credit} needs the same draws in every iteration, as of algo/logprobs=replay "
                "with choose=entropy or even"
            )

    @property
    def distinct_iterations(self) -> int:
        """Iterations whose draws, and so whose old log-probs, differ: μ, or 1 where all share them."""
        return self.num_iterations if self.logprobs.renewed else 1

    @property
    def updates_per_rollout(self) -> int:
        return self.num_iterations * self.updates_per_iteration

    def learnt(self, rollout: Rollout) -> Tensor:
        """[P, G, C] bool: tokens of the completions that may be trained on, before any filter."""
        mask = rollout.completion_mask
        return torch.ones_like(mask) if self.tokens_after_eos else mask

    def parts_of(self, draws: int) -> list[tuple[int, int] | None]:
        """[start, stop) of the draws of each micro-batch; [None] where one holds all ``draws``."""
        most = self.draws_per_micro_batch or draws
        if most >= draws:
            return [None]
        return [(start, min(start + most, draws)) for start in range(0, draws, most)]
