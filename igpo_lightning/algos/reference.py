"""Choice of the weights that a KL term, or any other loss, compares the policy with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..checks import ConfigError, fraction, positive_int


class Reference(Protocol):
    """The fate of the reference in the course of a run.

    Attributes:
        there: Whether there is one at all.
        moves: Whether it is ever moved.
        alpha: Share of the policy in what it is moved to.
    """

    there: bool
    moves: bool
    alpha: float

    def due(self, updates: int, per_rollout: int) -> bool:
        """True if it is moved after the run's first ``updates``; each rollout has ``per_rollout`` of them."""
        ...


@dataclass(frozen=True)
class Kept:
    """The weights that training starts from, for the whole run."""

    there, moves, alpha = True, False, 0.0

    def due(self, updates: int, per_rollout: int) -> bool:
        return False


@dataclass(frozen=True)
class NoReference(Kept):
    """None at all: a loss that asks for one is refused, so that nothing is kept in memory by oversight."""

    there = False


@dataclass(frozen=True)
class Moved:
    """A reference that is moved towards the policy, as TRL's ``sync_ref_model`` does it.

    π_ref ← α π + (1 - α) π_ref (TR-DPO, arXiv 2404.09656, equation 5), weight by weight. With an adapter
    it is the adapter that is mixed. The log-probs of a rollout are those of the reference at its beginning.

    Args:
        ref_model_sync_steps: Updates from one move to the next; None where rollouts are counted.
        ref_model_sync_rollouts: Or rollouts; None where updates are.
        ref_model_mixup_alpha: α; 1 makes the policy the reference.
    """

    ref_model_sync_steps: int | None = 512
    ref_model_sync_rollouts: int | None = None
    ref_model_mixup_alpha: float = 0.6
    there, moves = True, True

    def __post_init__(self) -> None:
        given = self.ref_model_sync_steps, self.ref_model_sync_rollouts
        if (given[0] is None) == (given[1] is None):
            raise ConfigError(
                "algo.reference: give ref_model_sync_steps (updates) or ref_model_sync_rollouts, and make "
                "the other null"
            )
        for name in ("ref_model_sync_steps", "ref_model_sync_rollouts"):
            if getattr(self, name) is not None:
                positive_int(f"algo.reference.{name}", getattr(self, name))
        if not fraction("algo.reference.ref_model_mixup_alpha", self.ref_model_mixup_alpha):
            raise ConfigError(
                "algo.reference.ref_model_mixup_alpha=0: it would never move: take algo/reference=kept"
            )

    @property
    def alpha(self) -> float:
        return self.ref_model_mixup_alpha

    def due(self, updates: int, per_rollout: int) -> bool:
        every = self.ref_model_sync_steps or (self.ref_model_sync_rollouts or 1) * per_rollout
        return updates > 0 and updates % every == 0
