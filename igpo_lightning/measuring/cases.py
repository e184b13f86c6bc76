"""Cases: named lists of overrides, each composed, checked and built on the shared weights and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from omegaconf import DictConfig

from ..checks import ConfigError, positive_int
from ..models import Policy
from .weights import policy_of
from .workload import Workload, algorithm_of

_SHARED = ("vocabulary", "prompts", "prompt_length", "weights", "seed", "what")


class Cases:
    """The cases of a config.

    Args:
        cfg: With ``cases``: kind of work → name → overrides.
        base: What they share.
        compose: Further overrides → the config with these.
        without: Cases that set one of these keys are left out.
    """

    def __init__(
        self,
        cfg: DictConfig,
        base: Workload,
        compose: Callable[[Sequence[str]], DictConfig],
        without: Sequence[str] = (),
    ) -> None:
        self.cfg, self.base, self.compose, self.without = cfg, base, compose, without

    def of(self, what: str) -> Iterator[tuple[str, list[str], Workload]]:
        """(name, overrides, workload) of each case of one kind.

        Raises:
            ConfigError: Its overrides are none, or change what has to be the same for all.
        """
        for name, given in (self.cfg.cases.get(what) or {}).items():
            key = f"cases.{what}.{name}"
            if given is None:  # taken out on the command line
                continue
            if isinstance(given, str) or not all(isinstance(text, str) for text in given):
                raise ConfigError(f"{key}={given}: expected a list of overrides, such as [sampler.steps=8]")
            changes = list(given)
            if {text.partition("=")[0] for text in changes} & {*self.without}:
                continue
            if not changes:
                yield str(name), changes, self.base
                continue
            try:
                changed = self.compose(changes)
            except ConfigError as error:
                raise ConfigError(f"{key}: {error}") from error
            yield str(name), changes, self.load(changed, key)

    def load(self, cfg: DictConfig, key: str) -> Workload:
        """The workload of ``cfg``, on the base's weights and prompts.

        Raises:
            ConfigError: It changes what has to be the same for all; ``key`` is named.
        """
        base = self.base
        if other := [name for name in _SHARED if cfg[name] != base.cfg[name]]:
            raise ConfigError(f"{key}: it changes {other[0]}, which all cases share")
        policy = base.policy if cfg.model == base.cfg.model else self._sharing(cfg, key)
        algorithm = algorithm_of(cfg, len(base.prompts))
        rows = len(base.prompts) * algorithm.num_generations if cfg.batch is None else cfg.batch
        return Workload(cfg, policy, base.prompts, algorithm, base.device, positive_int("batch", rows))

    def _sharing(self, cfg: DictConfig, key: str) -> Policy:
        """Another network (compiled, with other attention) around the same tensors."""
        policy, shared = policy_of(cfg, self.base.device), self.base.policy
        try:
            policy.load_state_dict(shared.state_dict(), assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ConfigError(f"{key}: it changes the weights, which all cases share: {reason}") from error
        if shared.keeps_reference:
            policy.keep_reference(moves=shared.moving is not None)
        return policy
