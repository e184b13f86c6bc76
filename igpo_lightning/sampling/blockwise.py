"""Block-wise denoising with low-confidence remasking (LLaDA, arXiv 2502.09992, section 2.4)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import progress
from ..checks import ConfigError, choice, denoising_schedule, not_negative, positive_int
from ..contracts import part, tensor
from ..models import Policy
from ..models.session import Session
from ..seeding import torch_rng
from ..types import Samples
from .acceptance import Acceptance, Quota
from .distribution import Distribution
from .order import DrawnProbability, Order
from .sessions import Sessions
from .steps import OnStep, Step

EOS = ("free", "last", "never")
_LAST = -1e9  # below any candidate's confidence, above that of what is not empty


class BlockwiseSampler:
    """Fills blocks left to right; at each step the most confident candidates are kept.

    A step draws a token for every empty column of the block, an :class:`Order` says how sure each is, and an
    :class:`Acceptance` which of them are written. What is already written (prompt, hints) is never touched,
    so inpainting is the same call with a fuller canvas.

    Tokens are drawn from softmax(logits / temperature) by inverting its distribution function with
    one uniform per (row, step, position). Gumbel-max noise draws from the same distribution but
    needs V numbers instead of one. Each row has its own generator, so its completion depends on its
    seed and its canvas only: not on the batch it happens to be in.

    Args:
        length: Completion width C, in tokens.
        block_length: Tokens per block; must divide ``length``.
        steps: Denoising steps of the whole completion; a multiple of the number of blocks. A rule of
            acceptance that looks at the candidates alone, such as a threshold, takes as many as it needs.
        temperature: 0 is greedy.
        acceptance: Which candidates are written; by default :class:`Quota`.
        order: Their confidence; by default :class:`DrawnProbability`.
        eos: Tokens that end a completion: "free" as any other, "last" written only where nothing else of the
            block is left (LLaDA's ``confidence_eos_eot_inf``), "never" drawn (its ``logits_eos_inf``).
        cache: "none" is exact; "prefix" and "dual" keep keys and values within a block
            (:class:`~igpo_lightning.models.cached_session.CachedSession`); "blocks" is exact,
            too: it keeps those of finished blocks, where the policy is block-causal
            (:class:`~igpo_lightning.models.block_session.BlockSession`); of any other, none is ever final.
        refresh_every: Steps after which such a cache is made anew within a block; None: at its start only.
        graphs: "auto" records CUDA graphs where a cache is used with few rows; true, false.
        guidance: Scale of classifier-free guidance; 0 is none.
    """

    def __init__(
        self,
        length: int,
        block_length: int,
        steps: int,
        temperature: float = 0.0,
        acceptance: Acceptance | None = None,
        order: Order | None = None,
        eos: str = "free",
        cache: str = "none",
        refresh_every: int | None = None,
        graphs: str | bool = "auto",
        guidance: float = 0.0,
    ):
        self.blocks, self.steps_per_block = denoising_schedule(length, block_length, steps)
        self.length, self.block_length = positive_int("sampler.length", length), block_length
        self.steps, self.temperature = steps, not_negative("sampler.temperature", temperature)
        self.acceptance = part("sampler.acceptance", acceptance or Quota(), "needs_entropy", "most_steps")
        self.order = part("sampler.order", order or DrawnProbability(), "needs_uniform", "log_probability")
        if getattr(self.acceptance, "needs_probability", False) and not self.order.log_probability:
            raise ConfigError(
                f"sampler.acceptance: {type(self.acceptance).__name__} reads probabilities, and "
                f"sampler.order={type(self.order).__name__} gives none: take sampler/order=max_probability "
                "or drawn_probability"
            )
        self.eos = choice("sampler.eos", eos, *EOS)
        self.sessions = Sessions(cache, refresh_every, graphs, guidance)
        self.notes: tuple[str, ...] = ("probability",)

    @property
    def approximate(self) -> bool:
        """True if it writes other tokens than a sampler that keeps the schedule and caches nothing."""
        return self.sessions.approximate or not getattr(self.acceptance, "exact", False)

    def exact(self) -> BlockwiseSampler:
        """The same rules, with the schedule's number of steps and without a cache."""
        sampler = copy.copy(self)
        sampler.sessions = self.sessions.exact()
        if not getattr(self.acceptance, "exact", False):
            sampler.acceptance = Quota()
        return sampler

    def greedy(self) -> BlockwiseSampler:
        """:meth:`exact`, at temperature 0: what a model is judged by."""
        sampler = self.exact()
        sampler.temperature, sampler.notes = 0.0, ()
        return sampler

    def recording(self) -> BlockwiseSampler:
        """The same, remembering the entropy of the distribution that each token is drawn from."""
        sampler = copy.copy(self)
        sampler.notes = (*self.notes, "entropy")
        return sampler

    @torch.no_grad()
    def __call__(
        self,
        policy: Policy,
        canvas: Tensor,
        attention: Tensor | None,
        seeds: Tensor | list[int],
        *,
        keep_going: Callable[[bool], bool] = bool,
        on_step: OnStep | None = None,
    ) -> Samples:
        """Fill every masked position of the last ``length`` columns.

        Args:
            policy: Gives logits.
            canvas: [B, L] ids: left-padded prompt, then ``length`` columns of masks and hints.
            attention: [B, L] bool, False on padding, or None when nothing is padded.
            seeds: [B] identity seed of each row.
            keep_going: Called before every model call with "this process still needs one"; returns
                whether to make it. Sharded policies pass an any-reduce, so all ranks call equally often.
            on_step: Is told of each step that wrote something.
        """
        start = canvas.shape[1] - self.length
        if start < 0 or len(seeds) != len(canvas):
            raise ValueError(
                f"canvas {tuple(canvas.shape)} does not hold {self.length} columns and {len(seeds)} rows"
            )
        if (blocks := getattr(policy, "attention", None)) is not None:
            blocks.check(self.length, self.block_length, self.sessions.cache)
        with self.sessions.running(policy):
            session = self.sessions.open(policy, canvas, attention)
            self._fill(session, policy, seeds, start, keep_going, on_step)
        costs = session.forwards, session.row_forwards, session.token_forwards
        notes = {name: session.note(name) for name in self.notes}
        return Samples(session.canvas, session.step_map, *costs, **notes)

    def _fill(
        self,
        session: Session,
        policy: Policy,
        seeds: Tensor | list[int],
        start: int,
        keep_going: Callable[[bool], bool],
        on_step: OnStep | None,
    ) -> None:
        """Fill the session's columns from ``start`` on, block by block."""
        device, most = (
            session.canvas.device,
            self.acceptance.most_steps(self.steps_per_block, self.block_length),
        )
        uniforms = self._uniforms(seeds, most, device)
        stop_ids = torch.tensor(policy.stop_ids, dtype=torch.long, device=device)
        alive = torch.arange(len(session.canvas), dtype=torch.long, device=device)
        for block in range(self.blocks):
            session.open(start + block * self.block_length, self.block_length)
            for step in range(block * most, (block + 1) * most):
                rows = alive[session.masked(alive).any(-1)]
                if not keep_going(len(rows) > 0):
                    break
                progress.step(step, self.blocks * most, block + 1, self.blocks)
                if len(rows):
                    left = self.steps_per_block - step + block * most
                    self._step(session, rows, uniforms[:, rows, step], step, left, stop_ids, on_step)
                else:  # nothing left here, but the other processes are making this call
                    session.idle()
            self._check_filled(session, alive, most)
            alive = self._retire(session, alive, stop_ids, policy.eos_id)

    def _step(
        self,
        session: Session,
        rows: Tensor,
        uniforms: Tensor,
        step: int,
        left: int,
        stop_ids: Tensor,
        on_step: OnStep | None,
    ) -> None:
        """Draw a candidate for each empty column of ``rows``; write those that are accepted."""
        masked = session.masked(rows)
        logits = session.logits(rows, masked)
        if self.eos == "never":
            logits[:, stop_ids] = -torch.inf
        candidates = Distribution(logits)
        drawn = candidates.draw(self.temperature, uniforms[0][masked])
        confidence = self.order(candidates, drawn, uniforms[-1][masked])
        confidence = tensor("sampler.order", self.order, confidence, drawn.shape)
        if self.eos == "last":
            confidence = torch.where(torch.isin(drawn, stop_ids), _LAST, confidence)
        entropy = None
        if "entropy" in self.notes or self.acceptance.needs_entropy:
            entropy = _spread(candidates.entropy(), masked, 0.0)
        accepted = self.acceptance(_spread(confidence, masked, -torch.inf), entropy, masked, left)
        accepted = masked & tensor(
            "sampler.acceptance", self.acceptance, accepted, masked.shape, boolean=True
        )
        ids = _spread(drawn, masked, 0)
        probability = None
        if "probability" in self.notes or on_step is not None:
            probability = _spread(candidates.log_probability(drawn).exp(), masked, 0.0)
        known: dict[str, Any] = {"probability": probability, "entropy": entropy}
        session.commit(rows, accepted, ids, step, **{name: known[name] for name in self.notes})
        if on_step is not None:
            on_step(Step(step, rows, session.columns, accepted, ids, known["probability"]))

    def _check_filled(self, session: Session, alive: Tensor, most: int) -> None:
        if left := int(session.masked(alive).sum()):
            raise ConfigError(
                f"sampler.acceptance: {type(self.acceptance).__name__} left {left} columns of a block empty "
                f"after the {most} steps of its most_steps; it has to write at least one of each row a step"
            )

    def _retire(self, session: Session, alive: Tensor, stop_ids: Tensor, eos_id: int) -> Tensor:
        """The rows that go on. Those whose finished block ends the completion need no more model calls.

        What follows a stop token is in no text and in no loss; its empty positions are filled with
        end-of-sequence tokens, hints stay where they are.
        """
        stopped = torch.isin(session.block(alive), stop_ids).any(-1)
        session.fill_rest(alive[stopped], eos_id)
        return alive[~stopped]

    def _uniforms(self, seeds: Tensor | list[int], most: int, device: torch.device) -> Tensor:
        """[1 or 2, B, steps, block_length] uniforms in [0, 1), float64, each row from its own generator.

        The first are for tokens; the last for an order that wants some.
        """
        shape = (1 + self.order.needs_uniform, self.blocks * most, self.block_length)
        if self.temperature == 0 and not self.order.needs_uniform:
            return torch.zeros(1, len(seeds), *shape[1:], dtype=torch.float64, device=device)
        options = {"dtype": torch.float64, "device": "cpu"}
        rows = [torch.rand(shape, generator=torch_rng(int(s)), **options) for s in seeds]
        return torch.stack(rows, dim=1).to(device)


def _spread(values: Tensor, masked: Tensor, elsewhere: float) -> Tensor:
    """[R, W]: the N values at the N True entries of ``masked``, row by row."""
    whole = torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device)
    return whole.masked_scatter_(masked, values)
