"""Supervised fine-tuning with the masked-diffusion loss (LLaDA, arXiv 2502.09992, eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..algos import Supervised
from ..algos.losses import Share
from ..checks import ConfigError, choice
from ..models import Policy
from ..sampling.canvas import attention_of
from ..seeding import torch_rng
from ..types import Prompt
from .module import DiffusionModule

if TYPE_CHECKING:
    from ..data.sft_data import SFTBatch


_LAST = {"all": None, "one": 0, "none": 1}  # tokens of the text, its end among them, that are not learned


class MaskedDiffusionSFT(DiffusionModule):
    """-E_t [ 1/t · Σ_masked log p(token) ] / N, with each response token masked with probability t.

    The prompt is never masked. The response ends in the policy's end token and is filled up to C with
    end-of-sequence tokens. Of its C tokens N are supervised, and a row's sum is divided by its own N: with
    the whole fill N = C, as LLaDA was fine-tuned (arXiv 2502.09992), which is how a diffusion
    LM learns where to stop. Tokens that are not supervised are masked like the others, so that what is
    visible does not tell where the response ends.

    Args:
        policy: The weights.
        algorithm: Of its ``supervise_padding``, "all" supervises the end and the whole fill, "one" the
            end alone, "none" neither.
        min_ratio: Smallest t; bounds the weight 1/t.
    """

    def __init__(self, policy: Policy, algorithm: Supervised, min_ratio: float = 1e-3):
        super().__init__(policy, algorithm)
        if policy.attention is not None:
            raise ConfigError(
                "algo=sft: hides tokens of all blocks at once, and a block-causal model learns each after "
                "whole ones: fine-tune it by its authors' code, and give model.path"
            )
        self.min_ratio, self.seed = min_ratio, algorithm.seed
        self.supervise_padding = choice("algo.supervise_padding", algorithm.supervise_padding, *_LAST)

    def compute_loss(self, batch: SFTBatch) -> Tensor:
        # Drawn for the whole update, of which this is a part: the same masks however it is cut.
        shape = (batch.of or len(batch.response), batch.response.shape[1])
        draws = draw_masks(shape, self.min_ratio, torch_rng(self.seed, "sft-mask", batch.update, 0))
        mine = slice(batch.start, batch.start + len(batch.response))
        loss, metrics = self.denoise(batch, *(draw[mine] for draw in draws))
        self.accumulate({"loss": loss.detach(), **metrics})
        return loss

    def validation_step(self, prompts: Sequence[Prompt], batch_idx: int) -> None:
        batch = self.datamodule.collate(prompts, self.device)
        shape = (1, batch.response.shape[1])
        rngs = [torch_rng(self.seed, "sft-val-mask", prompt.problem.id) for prompt in prompts]
        draws = zip(*(draw_masks(shape, self.min_ratio, rng) for rng in rngs), strict=True)
        loss, metrics = self.denoise(batch, *map(torch.cat, draws))
        rows = int(batch.whole.sum())
        for name, value in {"loss": loss, **metrics}.items():
            self.log(f"val/{name}", float(value), on_epoch=True, sync_dist=True, batch_size=rows)
        super().validation_step(prompts, batch_idx)

    def progress(self, batch: SFTBatch, seconds: float) -> dict[str, float]:
        tokens, so_far = self.datamodule.tokens_of(batch.update)
        pace = {"num_tokens": so_far, "time/tokens_per_second": tokens / seconds if seconds else 0.0}
        return {**super().progress(batch, seconds), **pace}

    def denoise(self, batch: SFTBatch, ratio: Tensor, masked: Tensor) -> tuple[Tensor, dict[str, Share]]:
        """Loss of B rows, and how right the best guesses at their masked, supervised tokens are.

        Args:
            ratio: [B, 1] masking ratios t.
            masked: [B, C] bool, which response tokens are masked.

        Returns:
            The loss, and ``token_accuracy`` of all such tokens, ``text_token_accuracy`` without the fill,
            ``padding_share`` of the fill among supervised tokens, masked or not.
        """
        ratio, masked = ratio.to(self.device), masked.to(self.device)
        width = batch.response.shape[1]
        canvas = torch.cat([batch.prompt_ids, batch.response.masked_fill(masked, self.policy.mask_id)], dim=1)
        supervised, fill = self.supervised(batch)
        scored = masked & supervised
        positions = torch.cat([torch.zeros_like(batch.prompt_ids, dtype=torch.bool), scored], dim=1)
        targets = batch.response[scored]
        scores = self.policy(canvas, attention_of(batch.prompt_mask, width), positions, targets=targets)
        counts = supervised.sum(1, keepdim=True)  # [B, 1], N
        rows = (counts > 0).sum().clamp(min=1)
        weights = (1.0 / (ratio * counts.clamp(min=1))).expand_as(scored)[scored]
        right, text = (scores.top == targets).float(), ~fill[scored]
        return (-scores.logps * weights).sum() / rows, {
            "token_accuracy": Share(right.sum(), scored.sum()),
            "text_token_accuracy": Share((right * text).sum(), text.sum()),
            "padding_share": Share((supervised & fill).sum(), supervised.sum()),
        }

    def supervised(self, batch: SFTBatch) -> tuple[Tensor, Tensor]:
        """[B, C] bool each: the tokens that are learned, and the fill behind the end."""
        columns = torch.arange(batch.response.shape[1], dtype=torch.long, device=self.device)
        text, left = batch.text[:, None], _LAST[self.supervise_padding]
        fill = columns >= text
        learned = torch.ones_like(fill) if left is None else columns < text - left
        return learned & batch.whole[:, None], fill


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
