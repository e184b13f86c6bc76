"""Use from Python: from a model to text, and to a rollout with rewards, in a few lines."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence

from .algos import Algorithm
from .checks import ConfigError
from .completing import Asked, canvases, complete, encode
from .config import build_algorithm, composed
from .data.prompts import PromptFormat
from .models import Policy, load_policy
from .rollout import RolloutEngine
from .sampling import BlockwiseSampler
from .sampling.canvas import completion_texts
from .types import Problem, Rollout

__all__ = ["generate", "load_algorithm", "load_policy", "roll_out", "texts"]


def generate(
    policy: Policy,
    prompts: Sequence[str],
    hints: Sequence[str | None] | None = None,
    *,
    length: int = 128,
    block_length: int = 32,
    steps: int | None = None,
    temperature: float = 0.0,
    sampler: BlockwiseSampler | None = None,
    prompt_format: PromptFormat | None = None,
    seed: int = 0,
    watch: bool = False,
) -> list[str]:
    """Complete each prompt; with hints, inpaint.

    Args:
        policy: See :func:`load_policy`.
        prompts: Questions; the tokenizer's chat template is put around them.
        hints: For each prompt a text that the completion begins with, as fixed tokens; each run of three or
            more underscores is a gap of so many tokens for the model to fill. None gives no hints.
        length, block_length, steps, temperature: Of the sampler: tokens of a completion and of a block,
            denoising steps (by default one a token), 0 for greedy.
        sampler: One of your own instead.
        prompt_format: Words around the question, by default none.
        seed: Of the draws, whole; a completion depends on it, its prompt and its place in the list alone.
        watch: Show each canvas on standard output while it is filled, one after the other.

    Returns:
        The completions, hints included, each up to its end.

    Raises:
        ConfigError: Prompts or hints are no list of texts, their numbers differ, or a hint is longer than the
            canvas.
    """
    try:
        seed = operator.index(seed)
    except TypeError:
        raise ConfigError(f"seed={seed}: expected a whole number") from None
    steps = length if steps is None else steps
    sampler = sampler or BlockwiseSampler(length, block_length, steps, temperature)
    _check_texts("prompts", prompts)
    hints = [None] * len(prompts) if hints is None else hints
    _check_texts("hints", hints, or_none=True)
    if len(hints) != len(prompts):
        raise ConfigError(f"hints: {len(hints)} for {len(prompts)} prompts; give one (or None) for each")
    if not prompts:
        return []
    asked = [Asked(text, hint) for text, hint in zip(prompts, hints, strict=True)]
    canvas = canvases(policy, asked, sampler.length)
    if watch:
        from .watching.program import Program

        program = Program(policy, sampler, prompt_format, seed, sys.stdout)
        return [done.text for one in asked for done in program.fill([one], watch=True)]
    return complete(policy, sampler, asked, canvas, prompt_format, seed).texts


def load_algorithm(*overrides: str) -> Algorithm:
    """The algorithm that ``python -m igpo_lightning.train`` would run with these overrides.

    Args:
        overrides: As on the command line, e.g. "algo=igpo", "model=llada", "algo.inpaint.ratio=0.4".
    """
    # Hydra's own values are of a run; nothing that is built here looks at the folder.
    return build_algorithm(composed([*overrides, "output_dir=."]))


def roll_out(
    policy: Policy,
    algorithm: Algorithm,
    problems: Sequence[Problem],
    index: int = 0,
    prompt_format: PromptFormat | None = None,
) -> Rollout:
    """Sample and score ``algorithm.num_generations`` completions of each problem, as training does.

    All-wrong groups are treated as the algorithm says; old log-probs and advantages are in the result. The
    policy's dropout is set to 0, as for training.

    Args:
        policy: See :func:`load_policy`.
        algorithm: See :func:`load_algorithm`.
        problems: With gold traces, if hints are to be cut from them.
        index: Of the rollout; a part of every seed.
        prompt_format: Words around the question, by default none.

    Raises:
        ConfigError: No problems, or an algorithm without rollouts.
    """
    if not hasattr(algorithm, "inpaint"):
        raise ConfigError(f"algorithm: {algorithm.name} has no rollouts; take algo=igpo, grpo or its kin")
    if not problems:
        raise ConfigError("problems: there are none")
    policy.disable_dropout()
    if algorithm.loss.needs_reference and not policy.keeps_reference:
        policy.keep_reference(moves=algorithm.reference.moves)
    encoded = encode(policy, problems, prompt_format, max_response=algorithm.sampler.length)
    return RolloutEngine(algorithm).run(policy, encoded, index)


def texts(policy: Policy, result: Rollout) -> list[list[str]]:
    """The completions of a rollout as text, each up to its end: of each of P prompts, G of them."""
    group = result.tokens.shape[1]
    flat = completion_texts(policy, result.tokens.flatten(0, 1))
    return [flat[start : start + group] for start in range(0, len(flat), group)]


def _check_texts(name: str, given: Sequence[str | None], or_none: bool = False) -> None:
    """Refuse one text, which is a sequence of texts, too, and whatever else is no text."""
    fits = not isinstance(given, str) and all(isinstance(t, str) or (t is None and or_none) for t in given)
    if not fits:
        raise ConfigError(f'{name}: expected a list of texts, ["…"], and not {given!r:.60}')
