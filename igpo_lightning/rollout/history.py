"""A memory of how often each problem was solved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class History:
    """Shares of correct completions in each problem's last groups that were sampled without hints.

    It is told by all processes of all groups, so it is the same on each; checkpoints hold it.

    Args:
        groups: Of a problem that are remembered.
    """

    def __init__(self, groups: int = 4):
        self.groups = groups
        self._shares: dict[str, list[float]] = {}

    def record(self, seen: Iterable[tuple[str, float]]) -> None:
        """Remember (id of a problem, share of its group that is correct) in this order."""
        for identity, share in seen:
            self._shares[identity] = [*self._shares.get(identity, []), share][-self.groups :]

    def solved(self, identity: str) -> float | None:
        """The mean of what is remembered of a problem; None: nothing is."""
        shares = self._shares.get(identity)
        return sum(shares) / len(shares) if shares else None

    def state_dict(self) -> dict[str, list[float]]:
        return {identity: list(shares) for identity, shares in self._shares.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        self._shares = {identity: list(shares) for identity, shares in state.items()}
