"""Random generators, seeded by what they are for and not by what was drawn before.

Nothing in this package seeds or draws from the global generator. A draw is named by what it is for
(seed, purpose, rollout, prompt, sample), so it does not depend on batch size, rank, or history.
"""

from __future__ import annotations

import hashlib
import operator
import random

import torch


def derive(*identity: int | str) -> int:
    """A 63-bit seed for an identity such as ``(seed, "sample", rollout, prompt_id, g)``.

    Integers of any type count by their value.
    """
    parts = (f"str:{part}" if isinstance(part, str) else f"int:{operator.index(part)}" for part in identity)
    text = "\x1f".join(parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def python_rng(*identity: int | str) -> random.Random:
    """A local ``random.Random`` for an identity."""
    return random.Random(derive(*identity))


def torch_rng(*identity: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A local ``torch.Generator`` for an identity."""
    return torch.Generator(device=device).manual_seed(derive(*identity))
