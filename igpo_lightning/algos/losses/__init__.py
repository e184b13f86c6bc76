"""Policy losses: :class:`~igpo_lightning.types.LossInputs` → (scalar loss, metrics)."""

from .clipped import ClippedSurrogate

__all__ = ["ClippedSurrogate"]
