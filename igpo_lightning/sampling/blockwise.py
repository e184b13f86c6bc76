"""Block-wise denoising with low-confidence remasking (LLaDA, arXiv 2502.09992, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import progress
from ..checks import denoising_schedule, positive_int
from ..models import Policy
from ..models.session import Session
from ..seeding import torch_rng
from ..types import Samples
from .acceptance import Acceptance, Quota
from .order import DrawnProbability, Order


class BlockwiseSampler:
    """Fills blocks left to right; at each step the most confident candidates are kept.

    A step draws a token for every empty column of the block, and an :class:`Acceptance` says which of them
    are written. What is already written (prompt, hints) is never touched, so inpainting is the same call
    with a fuller canvas.

    Tokens are drawn from softmax(logits / temperature) by inverting its distribution function with
    one uniform per (row, step, position). Gumbel-max noise draws from the same distribution but
    needs V numbers instead of one. Each row has its own generator, so its completion depends on its
    seed and its canvas only: not on the batch it happens to be in.

    Args:
        length: Completion width C, in tokens.
        block_length: Tokens per block; must divide ``length``.
        steps: Denoising steps of the whole completion; a multiple of the number of blocks.
        temperature: 0 is greedy.
        acceptance: Which candidates are written; by default :class:`Quota`.
        order: Their confidence; by default :class:`DrawnProbability`.
    """

    def __init__(
        self,
        length: int,
        block_length: int,
        steps: int,
        temperature: float = 0.0,
        acceptance: Acceptance | None = None,
        order: Order | None = None,
    ):
        self.blocks, self.steps_per_block = denoising_schedule(length, block_length, steps)
        if temperature < 0:
            raise ValueError(f"sampler.temperature: {temperature} is negative; 0 is greedy")
        self.length, self.block_length = positive_int("sampler.length", length), block_length
        self.steps, self.temperature = steps, temperature
        self.acceptance, self.order = acceptance or Quota(), order or DrawnProbability()

    def greedy(self) -> BlockwiseSampler:
        """The same rules at temperature 0."""
        return BlockwiseSampler(self.length, self.block_length, self.steps, 0.0, self.acceptance, self.order)

    @torch.no_grad()
    def __call__(
        self,
        policy: Policy,
        canvas: Tensor,
        attention: Tensor | None,
        seeds: Tensor | list[int],
        *,
        keep_going: Callable[[bool], bool] = bool,
    ) -> Samples:
        """Fill every masked position of the last ``length`` columns.

        Args:
            policy: Gives logits.
            canvas: [B, L] ids: left-padded prompt, then ``length`` columns of masks and hints.
            attention: [B, L] bool, False on padding, or None when nothing is padded.
            seeds: [B] identity seed of each row.
            keep_going: Called before every model call with "this process still needs one"; returns
                whether to make it. Sharded policies pass an any-reduce, so all ranks call equally often.
        """
        start = canvas.shape[1] - self.length
        if start < 0 or len(seeds) != len(canvas):
            raise ValueError(
                f"canvas {tuple(canvas.shape)} does not hold {self.length} columns and {len(seeds)} rows"
            )
        session = Session(policy, canvas, attention)
        most = self.acceptance.most_steps(self.steps_per_block, self.block_length)
        uniforms = self._uniforms(seeds, most, canvas.device)
        alive = torch.arange(len(canvas), dtype=torch.long, device=canvas.device)
        for block in range(self.blocks):
            session.open(start + block * self.block_length, self.block_length)
            for step in range(block * most, (block + 1) * most):
                rows = alive[session.masked(alive).any(-1)]
                if not keep_going(len(rows) > 0):
                    break
                progress.step(step, self.blocks * most, block + 1, self.blocks)
                if len(rows):
                    self._step(session, rows, uniforms, step, self.steps_per_block - step + block * most)
                else:  # nothing left here, but the other processes are making this call
                    session.idle()
            alive = self._retire(session, alive, policy)
        return Samples(session.canvas, session.step_map, session.forwards, session.row_forwards)

    def _step(self, session: Session, rows: Tensor, uniforms: Tensor, step: int, left: int) -> None:
        """Draw a candidate for each empty column of ``rows``; write those that are accepted."""
        masked = session.masked(rows)
        logits = session.logits(rows, masked)
        drawn = self._draw(logits, uniforms[rows, step][masked])
        confidence = _spread(self.order(logits, drawn), masked, -torch.inf)
        entropy = None
        if self.acceptance.needs_entropy:
            chances = logits.softmax(-1)
            entropy = _spread(torch.special.entr(chances).sum(-1), masked, 0.0)
        accepted = self.acceptance(confidence, entropy, masked, left)
        session.commit(rows, accepted, _spread(drawn, masked, 0), step)

    def _draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        if self.temperature == 0:
            return logits.argmax(-1)
        # float64: at V = 126,464 a float32 running sum loses the tail of the distribution.
        cdf = (logits / self.temperature).softmax(-1).double().cumsum(-1)
        drawn = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]
        return drawn.clamp_(max=logits.shape[-1] - 1)

    def _retire(self, session: Session, alive: Tensor, policy: Policy) -> Tensor:
        """The rows that go on. Those whose finished block ends the completion need no more model calls.

        What follows a stop token is in no text and in no loss; its empty positions are filled with
        end-of-sequence tokens, hints stay where they are.
        """
        stop_ids = torch.tensor(policy.stop_ids, dtype=torch.long, device=alive.device)
        stopped = torch.isin(session.block(alive), stop_ids).any(-1)
        session.fill_rest(alive[stopped], policy.eos_id)
        return alive[~stopped]

    def _uniforms(self, seeds: Tensor | list[int], most: int, device: torch.device) -> Tensor:
        """[B, steps, block_length] uniforms in [0, 1), float64, each row from its own generator."""
        shape = (self.blocks * most, self.block_length)
        if self.temperature == 0:
            return torch.zeros(len(seeds), *shape, dtype=torch.float64, device=device)
        options = {"dtype": torch.float64, "device": "cpu"}
        rows = [torch.rand(shape, generator=torch_rng(int(s)), **options) for s in seeds]
        return torch.stack(rows).to(device)


def _spread(values: Tensor, masked: Tensor, elsewhere: float) -> Tensor:
    """[R, W]: the N values at the N True entries of ``masked``, row by row."""
    whole = torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device)
    return whole.masked_scatter_(masked, values)
