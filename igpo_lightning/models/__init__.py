"""A policy: token ids in, logits out."""

from .loading import create_policy, load_policy
from .policy import Policy

__all__ = ["Policy", "create_policy", "load_policy"]
