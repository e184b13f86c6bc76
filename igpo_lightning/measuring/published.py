"""The published code of the field, in our own words and in its own way, to measure against.

The sampler is LLaDA's (arXiv 2502.09992, its generate.py) as d1 (arXiv 2504.12216) and IGPO (arXiv
2509.10396) run it in their rollouts: every row goes through the model at every step, the logits of all
columns are kept and copied to float64, noise is drawn for every entry of the vocabulary, and nothing ends
early. The update is diffu-GRPO's: a prompt's G completions are G rows, each of the μ masks is a row of its
own, old and reference log-probs are passes of their own, and softmax and entropy are taken over the whole
vocabulary at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..algos import Algorithm
from ..models import Policy
from ..seeding import torch_rng
from ..types import Prompt
from .meter import Meter
from .workload import Workload, kept


@torch.no_grad()
def complete(policy: Policy, sampler: Any, prompts: Tensor, generator: torch.Generator) -> Tensor:
    """Complete prompts of one length, as LLaDA's sampler does.

    Args:
        policy: Gives logits.
        sampler: Its length, block_length, steps and temperature are taken.
        prompts: [B, Q] ids without padding.
        generator: Of the noise, on the device of the prompts.

    Returns:
        [B, length] ids.
    """
    length, width = sampler.length, sampler.block_length
    start = prompts.shape[1]
    empty = prompts.new_full((len(prompts), length), policy.mask_id)
    canvas = torch.cat([prompts, empty], dim=1)
    for stop in range(start + width, start + length + 1, width):
        in_block = canvas[:, stop - width : stop] == policy.mask_id
        # One loop, as there: a step's large tensors live until the next step has made its own. Freed
        # earlier, their pages go back to the system and come again, at a third more processor time.
        for count in _counts(in_block, sampler.steps * width // length):
            masked = canvas == policy.mask_id
            logits = policy(canvas)  # [B, L, V]
            noisy = noised(logits, sampler.temperature, generator)
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


def _counts(masked: Tensor, steps: int) -> Tensor:
    """[steps, B]: tokens of a block that each row gets at each of its steps, the larger numbers first."""
    whole = masked.sum(-1)
    order = torch.arange(steps, dtype=torch.long, device=masked.device)[:, None]
    return whole // steps + (order < whole % steps).long()


def noised(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """exp(l) / (-log u)^T in float64, whose largest entry is a draw from softmax(l / T): Gumbel-max."""
    if temperature == 0:
        return logits
    wide = logits.to(torch.float64)
    uniform = torch.rand(wide.shape, generator=generator, dtype=torch.float64, device=wide.device)
    noise = (-torch.log(uniform)) ** temperature
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


def completions_of(load: Workload, which: Sequence[int]) -> Tensor:
    """[B, C], decoded as well, though the texts are not used.

    Prompts of one length go together, the shortest first, as that code knows no padding.
    """
    generator, most = _generator(load, "noise"), load.algorithm.row_budget.rows or load.rows
    done = []
    for _, rows in groupby(sorted(which, key=_width(load)), _width(load)):
        ids = [load.prompts[p].ids for p in rows]
        prompts = torch.tensor(ids, dtype=torch.long, device=load.device)
        done += [
            complete(load.policy, load.algorithm.sampler, part, generator) for part in prompts.split(most)
        ]
    whole = torch.cat(done)
    load.policy.tokenizer.batch_decode(whole.tolist(), skip_special_tokens=True)
    return whole


def _sample(load: Workload, meter: Meter) -> None:
    with load.precision(), meter.running():
        done = completions_of(load, load.which)
    _tell(load, meter, done)


def _update(load: Workload, meter: Meter) -> None:
    shape = (len(load.prompts), load.algorithm.num_generations, load.algorithm.sampler.length)
    generator = torch_rng(load.algorithm.seed, "bench", "completions")
    size = load.policy.network.config.vocab_size
    drawn = torch.randint(size, shape, generator=generator, dtype=torch.long, device="cpu").to(load.device)
    with kept(load.policy), load.precision(), meter.running():
        _learn(load, meter, drawn)
    meter.turn.tokens = drawn.numel()


def _iterate(load: Workload, meter: Meter) -> None:
    group, prompts = load.algorithm.num_generations, len(load.prompts)
    which = [p for p in range(prompts) for _ in range(group)]
    order = sorted(range(prompts), key=_width(load))  # as the completions come
    inner = replace(load, prompts=[load.prompts[p] for p in order])
    with kept(load.policy), load.precision(), meter.running():
        with meter.phase("sample"):
            done = completions_of(inner, which)
        _learn(inner, meter, done.view(prompts, group, -1))
    _tell(load, meter, done)


THEIRS = {"sampling": _sample, "update": _update, "iteration": _iterate}


def _learn(load: Workload, meter: Meter, completions: Tensor) -> None:
    """Log-probs and μ updates of completions [P, G, C]."""
    clip = float(load.cfg.algo.trainer.get("gradient_clip_val") or torch.inf)
    update, masks = PublishedUpdate(load.algorithm, clip), _generator(load, "masks")
    problems = [prompt.problem for prompt in load.prompts for _ in range(completions.shape[1])]
    rewards = load.algorithm.reward(problems, [""] * len(problems)).total.view(completions.shape[:2])
    advantages = (rewards - rewards.mean(1, keepdim=True)).to(load.device)
    with meter.phase("log-probs"):
        known = update.logprobs(load.policy, load.prompts, completions, masks)
    with meter.phase("update"):
        update.updates(load.policy, load.prompts, completions, advantages, known, masks)


def _tell(load: Workload, meter: Meter, done: Tensor) -> None:
    """Say what completions [B, C] took: every row at every step."""
    meter.turn.tokens = done.numel()
    meter.turn.row_forwards = len(done) * load.algorithm.sampler.steps


def _width(load: Workload) -> Callable[[int], int]:
    return lambda p: len(load.prompts[p].ids)


def _generator(load: Workload, purpose: str) -> torch.Generator:
    return torch_rng(load.algorithm.seed, "bench", purpose, device=load.device)
