"""Finds mentions of an answer in a text: in the same words or others, in digits, as a formula, by parts."""

from igpo_lightning.data.mentions.search import mentions, merged
from igpo_lightning.data.mentions.views import Span

__all__ = ["Span", "mentions", "merged"]
