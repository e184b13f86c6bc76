"""Pieces of other papers, each in the few lines that a user would write."""

from __future__ import annotations

import torch

from igpo_lightning.algos.logprobs import Draw
from igpo_lightning.algos.losses.reduce import mean_over_tokens


class GroupSoftmax:
    """wd1 (arXiv 2507.08838): log-likelihoods weighted by softmaxes over the group, no ratio."""

    needs_reference = False

    def __call__(self, x):
        sign = x.advantages.softmax(1) - (-x.advantages).softmax(1)
        loss = -(sign * mean_over_tokens(x.logps, x.mask, x.weight)).sum(1).mean()
        return loss, {"weight_max": sign.abs().max()}


class Replay:
    """CJ-GRPO, TraceRL: each token is scored under the canvas in which it was written.

    ``merge`` steps share a draw. Hints have no step: they are always visible and never scored.
    """

    renewed = False

    def __init__(self, steps, merge=1):
        self.steps, self.merge = steps, merge

    def count(self, width):
        return -(-self.steps // self.merge)

    def draws(self, rollout, iteration):
        step = rollout.step_map
        never = (step < 0) & ~rollout.hint_mask  # the fill after an end, which was empty all the time
        return [
            Draw((step >= first) | never, (step >= first) & (step < first + self.merge))
            for first in range(0, self.steps, self.merge)
        ]


class EntropyBound:
    """EB-sampler (arXiv 2505.24857): the surest tokens, while their entropies less the largest are small."""

    needs_entropy = True

    def __init__(self, bound):
        self.bound = bound

    def most_steps(self, steps, width):
        return width  # at least one token a step

    def __call__(self, confidence, entropy, masked, left):
        order = entropy.masked_fill(~masked, torch.inf).argsort(dim=-1, stable=True)
        nats = entropy.masked_fill(~masked, 0.0).gather(-1, order)
        allowed = nats.cumsum(-1) - nats <= self.bound
        return torch.zeros_like(masked).scatter(-1, order, allowed) & masked


class AnswerForcing:
    """LaViDa-R1's answer forcing: the trace's last tokens are given, the way there is the model's."""

    def __init__(self, tokens):
        self.tokens = tokens

    def can_help(self, p, resampler):
        return bool(resampler.prompts[p].response)

    def __call__(self, which, count, resampler, purpose):
        canvas, hint_mask = resampler.blank(len(which), count)
        for row, p in enumerate(which):
            response = torch.tensor(resampler.prompts[p].response)
            columns = slice(max(0, len(response) - self.tokens), len(response))
            canvas[row, :, columns], hint_mask[row, :, columns] = response[columns], True
        return canvas, hint_mask


class PassesTests:
    """A reward that reads more of a problem than its answer."""

    weight = 1.0

    def __call__(self, problems, completions):
        return [
            float(all(word in text.split() for word in problem.meta.get("tests", ("=",))))
            for problem, text in zip(problems, completions, strict=True)
        ]
