"""IGPO (Inpainting-Guided Policy Optimization, arXiv 2509.10396) for masked diffusion language models.

    import igpo_lightning as il

    policy = il.load_policy("runs/first/model")  # of a run with output_dir=runs/first, or a hub id
    il.generate(policy, ["What is 3 + 4 ?"], hints=["3 + 4 = ___ ."])

See :mod:`igpo_lightning.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import generate, load_algorithm, load_policy, roll_out, texts
    from .types import Problem, Rollout

__version__ = "0.1.0"
__all__ = ["Problem", "Rollout", "generate", "load_algorithm", "load_policy", "roll_out", "texts"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line must not wait for torch."""
    if name in ("Problem", "Rollout"):
        from . import types

        return getattr(types, name)
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
