"""Where a text tells an answer: in the same words or others, in digits, as a formula, or part by part."""

from igpo_lightning.data.mentions.search import Span, mentions, merged

__all__ = ["Span", "mentions", "merged"]
