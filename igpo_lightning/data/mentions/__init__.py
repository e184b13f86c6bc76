"""Finds mentions of an answer in a text: in the same words or others, in digits, as a formula, by parts."""

from igpo_lightning.data.mentions.search import Span, mentions, merged

__all__ = ["Span", "mentions", "merged"]
