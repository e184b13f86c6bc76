"""Block-wise denoising with low-confidence remasking (LLaDA, arXiv 2502.09992, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import progress
from ..checks import denoising_schedule, positive_int
from ..models import Policy
from ..seeding import torch_rng
from ..types import Samples


class LowConfidenceSampler:
    """Blocks left to right; at each step the most confident masked positions are kept.

    A block of n masked positions is denoised in s steps: step i predicts all of them and keeps the
    ⌊n/s⌋ (one more in the first n mod s steps) most confident, where confidence is the
    probability, at temperature 1, of the token that was drawn. Positions that are already written
    (prompt, hints) are never touched, so inpainting is the same call with a fuller canvas.

    Tokens are drawn from softmax(logits / temperature) by inverting its distribution function with
    one uniform per (row, step, position). Gumbel-max noise draws from the same distribution but
    needs V numbers instead of one. Each row has its own generator, so its completion depends on its
    seed and its canvas only: not on the batch it happens to be in.

    Args:
        length: Completion width C, in tokens.
        block_length: Tokens per block; must divide ``length``.
        steps: Denoising steps of the whole completion; a multiple of the number of blocks.
        temperature: 0 is greedy.
    """

    def __init__(self, length: int, block_length: int, steps: int, temperature: float = 0.0):
        denoising_schedule(length, block_length, steps)
        if temperature < 0:
            raise ValueError(f"sampler.temperature: {temperature} is negative; 0 is greedy")
        self.length = positive_int("sampler.length", length)
        self.block_length = block_length
        self.steps = steps
        self.temperature = temperature

    @property
    def blocks(self) -> int:
        return self.length // self.block_length

    def greedy(self) -> LowConfidenceSampler:
        """The same schedule at temperature 0."""
        return LowConfidenceSampler(self.length, self.block_length, self.steps, temperature=0.0)

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
        canvas = canvas.clone()
        start = canvas.shape[1] - self.length
        if start < 0 or len(seeds) != len(canvas):
            raise ValueError(
                f"canvas {tuple(canvas.shape)} does not hold {self.length} columns and {len(seeds)} rows"
            )
        fill = _Fill(self, policy, canvas, attention, _uniforms(self, seeds, canvas.device), keep_going)
        for block in range(self.blocks):
            fill.block(block, start + block * self.block_length)
        return Samples(canvas, fill.forwards, fill.row_forwards)


class _Fill:
    """One call of the sampler: the canvas, which rows are still alive, and what it cost."""

    def __init__(self, sampler, policy, canvas, attention, uniforms, keep_going):
        self.sampler, self.policy, self.canvas, self.attention = sampler, policy, canvas, attention
        self.uniforms, self.keep_going = uniforms, keep_going
        self.stop_ids = torch.tensor(policy.stop_ids, dtype=torch.long, device=canvas.device)
        self.alive = torch.arange(len(canvas), dtype=torch.long, device=canvas.device)
        self.forwards = self.row_forwards = 0

    def block(self, index: int, left: int) -> None:
        """Denoise the columns [left, left + block_length) of every row that is still alive."""
        sampler = self.sampler
        steps = sampler.steps // sampler.blocks
        columns = slice(left, left + sampler.block_length)
        total = self._masked(self.alive, columns).sum(-1)  # [rows alive] masked positions to fill
        quota = torch.zeros(len(self.canvas), dtype=torch.long, device=self.canvas.device)
        quota[self.alive] = total
        for step in range(steps):
            masked = self._masked(self.alive, columns)
            rows = self.alive[masked.any(-1)]
            if not self.keep_going(len(rows) > 0):
                break
            progress.step(index * steps + step, sampler.steps, index + 1, sampler.blocks)
            count = quota[rows] // steps + (step < quota[rows] % steps)
            if len(rows):
                self._step(rows, columns, index * steps + step, count)
            else:  # nothing left here, but the other processes are making this call
                self._idle()
        self._retire(columns)

    def _masked(self, rows: Tensor, columns: slice) -> Tensor:
        return self.canvas[rows, columns] == self.policy.mask_id

    def _step(self, rows: Tensor, columns: slice, step: int, count: Tensor) -> None:
        """Predict all masked positions of ``rows`` in the block; keep each row's ``count`` best."""
        canvas = self.canvas[rows]
        attention = None if self.attention is None else self.attention[rows]
        positions = torch.zeros_like(canvas, dtype=torch.bool)
        masked = canvas[:, columns] == self.policy.mask_id
        positions[:, columns] = masked
        self.forwards += 1
        self.row_forwards += len(rows)
        logits = self.policy(canvas, attention, positions).float()  # [N, V]
        logits[:, self.policy.mask_id] = -torch.inf  # a mask is not a token: it would never be filled
        drawn = self._draw(logits, self.uniforms[rows, step][masked])
        chance = logits.log_softmax(-1).gather(-1, drawn[:, None])[:, 0]

        confidence = torch.full(
            masked.shape, -torch.inf, dtype=chance.dtype, device=canvas.device
        ).masked_scatter_(masked, chance)
        tokens = canvas[:, columns].masked_scatter(masked, drawn)
        rank = confidence.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        chosen = masked & (rank < count[:, None])
        self.canvas[rows, columns] = torch.where(chosen, tokens, canvas[:, columns])

    def _idle(self) -> None:
        attention = None if self.attention is None else self.attention[:1]
        self.policy(self.canvas[:1], attention, torch.ones_like(self.canvas[:1], dtype=torch.bool))
        self.forwards += 1

    def _draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        if self.sampler.temperature == 0:
            return logits.argmax(-1)
        # float64: at V = 126,464 a float32 running sum loses the tail of the distribution.
        cdf = (logits / self.sampler.temperature).softmax(-1).double().cumsum(-1)
        drawn = torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]
        return drawn.clamp_(max=logits.shape[-1] - 1)

    def _retire(self, columns: slice) -> None:
        """Rows whose finished block ends the completion need no more model calls.

        What follows a stop token is in no text and in no loss; its empty positions are filled with
        end-of-sequence tokens, hints stay where they are.
        """
        stopped = torch.isin(self.canvas[self.alive, columns], self.stop_ids).any(-1)
        done = self.alive[stopped]
        tail = self.canvas[done, columns.stop :]
        self.canvas[done, columns.stop :] = tail.masked_fill(tail == self.policy.mask_id, self.policy.eos_id)
        self.alive = self.alive[~stopped]


def _uniforms(sampler: LowConfidenceSampler, seeds: Tensor | list[int], device: torch.device) -> Tensor:
    """[B, steps, block_length] uniforms in [0, 1), float64, each row from its own generator."""
    if sampler.temperature == 0:
        return torch.zeros(
            len(seeds), sampler.steps, sampler.block_length, dtype=torch.float64, device=device
        )
    options = {"dtype": torch.float64, "device": "cpu"}
    shape = (sampler.steps, sampler.block_length)
    rows = [torch.rand(shape, generator=torch_rng(int(s)), **options) for s in seeds]
    return torch.stack(rows).to(device)
