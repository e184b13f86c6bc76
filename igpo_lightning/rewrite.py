"""Rewrite verbose traces to fit a canvas: ``python -m igpo_lightning.rewrite data=openr1 rewriter.model=…``.

Compose, validate, instantiate, run. The work is in :mod:`igpo_lightning.rewriting`.
"""

from __future__ import annotations

from igpo_lightning.cli import entry

main = entry("rewrite", "igpo_lightning.rewriting.run:run")

if __name__ == "__main__":
    main()
