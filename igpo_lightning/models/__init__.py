"""A policy: token ids in, logits out."""

from .head import TokenScores
from .loading import create_policy, load_policy, network_config
from .policy import Policy

__all__ = ["Policy", "TokenScores", "create_policy", "load_policy", "network_config"]
