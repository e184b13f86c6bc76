"""Verbose traces → verified concise ones (arXiv 2509.10396, length-aligned SFT by rewriting).

A writer (an endpoint or a local model) gets one trace at a time with the rules; each answer goes into a
journal the moment it arrives; a judge decides whether it is kept. What is journalled is never asked again.
"""

from igpo_lightning.asking import Ask, Reply, Unanswered, Writer
from igpo_lightning.rewriting.journal import Answer, Trace, Verdict
from igpo_lightning.rewriting.judge import Judge
from igpo_lightning.rewriting.writer import Rules

__all__ = ["Answer", "Ask", "Judge", "Reply", "Rules", "Trace", "Unanswered", "Verdict", "Writer"]
