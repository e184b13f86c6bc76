"""A policy: token ids in, logits out."""

from .head import TokenScores
from .loading import create_policy, load_policy
from .policy import Policy
from .saved import network_config

__all__ = ["Policy", "TokenScores", "create_policy", "load_policy", "network_config"]
