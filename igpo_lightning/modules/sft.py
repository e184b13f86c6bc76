"""Supervised fine-tuning with the masked-diffusion loss (LLaDA, arXiv 2502.09992, eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..sampling.canvas import attention_of
from ..seeding import torch_rng
from ..types import Prompt
from .base import DiffusionModule

if TYPE_CHECKING:
    from ..data.sft_data import SFTBatch


class MaskedDiffusionSFT(DiffusionModule):
    """-E_t [ 1/t · Σ_masked log p(token) ] / C, with each response token masked with probability t.

    The prompt is never masked. The response ends in the policy's end token and is filled up to C with
    end-of-sequence tokens, which are part of the target: that is how a diffusion LM learns where to stop.

    Args:
        min_ratio: Smallest t; bounds the weight 1/t.
        **common: See :class:`DiffusionModule`.
    """

    def __init__(self, *, min_ratio: float = 1e-3, **common: Any):
        super().__init__(**common)
        self.min_ratio = min_ratio

    def compute_loss(self, batch: SFTBatch) -> Tensor:
        # Drawn for the whole update, of which this is a part: the same masks however it is cut.
        shape = (batch.of or len(batch.response), batch.response.shape[1])
        draws = draw_masks(shape, self.min_ratio, torch_rng(self.seed, "sft-mask", batch.update, 0))
        mine = slice(batch.start, batch.start + len(batch.response))
        loss, right = self.denoise(batch, *(draw[mine] for draw in draws))
        self.accumulate({"loss": loss.detach(), "token_accuracy": right})
        return loss

    def validation_step(self, prompts: Sequence[Prompt], batch_idx: int) -> None:
        batch = self.trainer.datamodule.collate(prompts, self.device)
        shape = (1, batch.response.shape[1])
        rngs = [torch_rng(self.seed, "sft-val-mask", prompt.problem.id) for prompt in prompts]
        draws = zip(*(draw_masks(shape, self.min_ratio, rng) for rng in rngs), strict=True)
        loss, right = self.denoise(batch, *map(torch.cat, draws))
        for name, value in (("loss", loss), ("token_accuracy", right)):
            self.log(f"val/{name}", value, on_epoch=True, sync_dist=True, batch_size=len(prompts))
        super().validation_step(prompts, batch_idx)

    def denoise(self, batch: SFTBatch, ratio: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and accuracy on masked tokens, of B rows.

        Args:
            ratio: [B, 1] masking ratios t.
            masked: [B, C] bool, which response tokens are masked.
        """
        ratio, masked = ratio.to(self.device), masked.to(self.device)
        width = batch.response.shape[1]
        canvas = torch.cat([batch.prompt_ids, batch.response.masked_fill(masked, self.policy.mask_id)], dim=1)
        positions = torch.cat([torch.zeros_like(batch.prompt_ids, dtype=torch.bool), masked], dim=1)
        targets = batch.response[masked]
        scores = self.policy(canvas, attention_of(batch.prompt_mask, width), positions, targets=targets)
        weights = (1.0 / ratio).expand_as(masked)[masked]
        right = (scores.top == targets).float()
        return (-scores.logps * weights).sum() / masked.numel(), right.sum() / max(len(right), 1)


def draw_masks(shape: tuple[int, int], min_ratio: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Masking ratios [B, 1] and masks [B, C].

    t is uniform on (min_ratio, 1] for every row, but spread evenly over the batch (one draw per
    stratum), which lowers the variance of the loss at no cost (MDLM, arXiv 2406.07524, appendix C.3).
    """
    rows, width = shape
    options = {"dtype": torch.float32, "device": "cpu"}
    offset = torch.rand((), generator=rng, **options)
    ratio = (torch.arange(rows, **options) + offset) / rows
    ratio = ratio[torch.randperm(rows, generator=rng, dtype=torch.long, device="cpu")]
    ratio = (min_ratio + (1 - min_ratio) * (1 - ratio))[:, None]
    return ratio, torch.rand((rows, width), generator=rng, **options) < ratio
