"""Choice of a session: exact, with a cache, or guided."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import Tensor

from ..checks import ConfigError, choice, positive_int
from ..models import Policy
from ..models.block_session import BlockSession
from ..models.cached_session import CACHES, CachedSession
from ..models.guided_session import GuidedSession
from ..models.session import Session

_FEW = 16  # rows up to which starting a block's kernels takes longer than running them (8B, one H200)


class Sessions:
    """Settings of ``sampler`` that say how a policy is called.

    Args:
        cache, refresh_every, graphs, guidance: See :class:`~igpo_lightning.sampling.BlockwiseSampler`.
    """

    def __init__(
        self,
        cache: str = "none",
        refresh_every: int | None = None,
        graphs: str | bool = "auto",
        guidance: float = 0.0,
    ):
        self.cache = choice("sampler.cache", cache, *CACHES)
        if refresh_every is not None:
            positive_int("sampler.refresh_every", refresh_every)
        self.refresh_every = refresh_every
        self.graphs = choice("sampler.graphs", str(graphs).lower(), "auto", "true", "false")
        if guidance < 0:
            raise ConfigError(f"sampler.guidance={guidance}: must be 0 or more")
        if guidance and cache != "none":
            raise ConfigError(f"sampler.guidance={guidance}: needs sampler.cache=none, not {cache}")
        self.guidance = guidance

    @property
    def approximate(self) -> bool:
        return self.cache not in ("none", "blocks") and self.refresh_every != 1

    def exact(self) -> Sessions:
        return Sessions(cache="blocks" if self.cache == "blocks" else "none", guidance=self.guidance)

    def running(self, policy: Policy) -> AbstractContextManager[None]:
        """Context that a policy samples within: :meth:`~igpo_lightning.models.Policy.sampling`."""
        return policy.sampling(compiled=self.cache == "none")

    def open(self, policy: Policy, canvas: Tensor, attention: Tensor | None) -> Session:
        """A session over ``canvas`` [B, L] with ``attention`` [B, L] or None.

        Raises:
            ConfigError: A cache is asked for, and the weights are sharded.
        """
        if self.guidance:
            return GuidedSession(policy, canvas, attention, self.guidance)
        blocks = getattr(policy, "attention", None)
        if self.cache == "none" or (self.cache == "blocks" and (blocks is None or policy.sharded)):
            return Session(policy, canvas, attention)
        if self.cache == "blocks":
            return BlockSession(policy, canvas, attention)
        if blocks is not None:
            raise ConfigError(
                f"sampler.cache={self.cache}: approximates what a block-causal model has exactly: take "
                "sampler.cache=blocks"
            )
        if policy.sharded:
            raise ConfigError(
                f"sampler.cache={self.cache}: not with weights that ZeRO-3 or FSDP shards: "
                "take sampler.cache=none, or hardware=zero2 or ddp"
            )
        few = canvas.is_cuda and len(canvas) <= _FEW
        graphs = few if self.graphs == "auto" else self.graphs == "true" and canvas.is_cuda
        return CachedSession(
            policy, canvas, attention, cache=self.cache, refresh_every=self.refresh_every, graphs=graphs
        )
