"""The published code of the field, in our own words and in its own way, to measure against.

The sampler is LLaDA's (arXiv 2502.09992, its generate.py) as d1 (arXiv 2504.12216) and IGPO (arXiv
2509.10396) run it in their rollouts: every row goes through the model at every step, the logits of all
columns are kept and copied to float64, noise is drawn for every entry of the vocabulary, and nothing ends
early. The update is diffu-GRPO's: a prompt's G completions are G rows, each of the μ masks is a row of its
own, old and reference log-probs are passes of their own, and softmax and entropy are taken over the whole
vocabulary at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..algos import Algorithm
from ..models import Policy
from ..types import Prompt


@dataclass(frozen=True)
class PublishedSampler:
    """LLaDA's sampler.

    Attributes:
        length, block_length, steps, temperature: As of :class:`~igpo_lightning.sampling.BlockwiseSampler`.
    """

    length: int
    block_length: int
    steps: int
    temperature: float

    @torch.no_grad()
    def __call__(self, policy: Policy, prompts: Tensor, generator: torch.Generator) -> Tensor:
        """Complete prompts of one length.

        Args:
            policy: Gives logits.
            prompts: [B, Q] ids without padding.
            generator: Of the noise, on the device of the prompts.

        Returns:
            [B, length] ids.
        """
        blocks, start = self.length // self.block_length, prompts.shape[1]
        empty = prompts.new_full((len(prompts), self.length), policy.mask_id)
        canvas = torch.cat([prompts, empty], dim=1)
        for block in range(blocks):
            stop = start + (block + 1) * self.block_length
            in_block = canvas[:, stop - self.block_length : stop] == policy.mask_id
            # One loop, as there: a step's large tensors live until the next step has made its own. Freed
            # earlier, their pages go back to the system and come again, at a third more processor time.
            for count in self._counts(in_block):
                masked = canvas == policy.mask_id
                logits = policy(canvas)  # [B, L, V]
                noisy = self._noisy(logits, generator)
                drawn = noisy.argmax(-1)
                chances = F.softmax(logits.to(torch.float64), dim=-1)
                confidence = chances.gather(-1, drawn[..., None])[..., 0]
                confidence[:, stop:] = -torch.inf
                confidence = torch.where(masked, confidence, -torch.inf)
                chosen = torch.zeros_like(masked)
                for row in range(len(canvas)):
                    _, places = torch.topk(confidence[row], k=int(count[row]))
                    chosen[row, places] = True
                canvas[chosen] = drawn[chosen]
        return canvas[:, start:]

    def _counts(self, masked: Tensor) -> Tensor:
        """[steps of a block, B]: tokens that each row gets at each step, the larger numbers first."""
        steps = self.steps * self.block_length // self.length
        whole = masked.sum(-1)
        order = torch.arange(steps, dtype=torch.long, device=masked.device)[:, None]
        return whole // steps + (order < whole % steps).long()

    def _noisy(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """exp(l) / (-log u)^T in float64, whose largest entry is a draw from softmax(l / T): Gumbel-max."""
        if self.temperature == 0:
            return logits
        wide = logits.to(torch.float64)
        uniform = torch.rand(wide.shape, generator=generator, dtype=torch.float64, device=wide.device)
        noise = (-torch.log(uniform)) ** self.temperature
        return wide.exp() / noise


@dataclass
class PublishedUpdate:
    """diffu-GRPO's log-probs and μ updates of one rollout, with IGPO's sequence ratio.

    Attributes:
        algorithm: For its sizes, its optimiser, and ε and β of its loss.
        clip: Norm that the gradient is clipped to.
    """

    algorithm: Algorithm
    clip: float

    def logprobs(
        self, policy: Policy, prompts: Sequence[Prompt], completions: Tensor, generator: torch.Generator
    ) -> list[tuple[Tensor, Tensor]]:
        """Old and reference log-probs of each prompt, [μ, G, C] each.

        Args:
            completions: [P, G, C] ids.
            generator: Of the masks.
        """
        found = []
        with torch.no_grad():
            for prompt, group in zip(prompts, completions, strict=True):
                ids = _repeated(prompt, group)
                old = self._of_all(policy, ids, group, generator)
                ref = old
                if policy.keeps_reference:
                    with policy.reference() as frozen:
                        ref = self._of_all(frozen, ids, group, generator)
                found.append((old, ref))
        return found

    def updates(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        completions: Tensor,
        advantages: Tensor,
        known: Sequence[tuple[Tensor, Tensor]],
        generator: torch.Generator,
    ) -> None:
        """μ updates, each over all prompts, one of them at a time.

        Args:
            completions: [P, G, C] ids.
            advantages: [P, G].
            known: As :meth:`logprobs` gives them.
        """
        trained = [weight for weight in policy.parameters() if weight.requires_grad]
        optimizer = self.algorithm.optimizer(trained)
        for iteration in range(self.algorithm.num_iterations):
            for prompt, group, advantage, (old, ref) in zip(
                prompts, completions, advantages, known, strict=True
            ):
                logps, _ = _read(policy, _repeated(prompt, group), group, generator)
                loss = self._loss(logps, old[iteration], ref[iteration], advantage)
                (loss / len(prompts)).backward()
            torch.nn.utils.clip_grad_norm_(trained, self.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _of_all(self, policy: Policy, ids: Tensor, group: Tensor, generator: torch.Generator) -> Tensor:
        """[μ, G, C]: all masks of an iteration in one call of μ · G rows."""
        times = self.algorithm.num_iterations
        logps, _ = _read(policy, ids.repeat(times, 1), group.repeat(times, 1), generator)
        return logps.view(times, *group.shape)

    def _loss(self, logps: Tensor, old: Tensor, ref: Tensor, advantage: Tensor) -> Tensor:
        """Clipped surrogate with one ratio a completion, and the k3 estimate of the KL; [G, C] each."""
        loss = self.algorithm.loss
        ratio = (logps.mean(1) - old.mean(1)).exp()[:, None].expand_as(logps)
        clipped = ratio.clamp(getattr(loss, "low", 0.8), getattr(loss, "high", 1.2))
        gain = torch.min(ratio * advantage[:, None], clipped * advantage[:, None])
        kl = (ref - logps).exp() - (ref - logps) - 1
        return (getattr(loss, "beta", 0.0) * kl - gain).mean()


def _read(
    policy: Policy, ids: Tensor, completions: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies [B, C] of completions, whose canvases [B, Q + C] are wholly masked."""
    width = completions.shape[1]
    uniform = torch.rand(ids.shape, generator=generator, dtype=torch.float32, device=ids.device)
    hidden = uniform < 1.0
    hidden[:, :-width] = False
    logits = policy(torch.where(hidden, policy.mask_id, ids))[:, -width:]  # [B, C, V]
    chances = F.softmax(logits, dim=-1)
    entropy = -(chances * (chances + 1e-8).log()).sum(-1)
    nats = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), completions.reshape(-1), reduction="none")
    return -nats.view(completions.shape).float(), entropy.detach().float()


def _repeated(prompt: Prompt, group: Tensor) -> Tensor:
    """[G, Q + C]: the prompt before each of its completions [G, C]."""
    ids = torch.tensor(prompt.ids, dtype=torch.long, device=group.device)
    return torch.cat([ids.expand(len(group), -1), group], dim=1)
