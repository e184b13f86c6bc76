"""Evaluate: ``python -m igpo_lightning.evaluate model=llada model.path=RUN/model``.

``rescore=FOLDER`` is :mod:`igpo_lightning.rescore`.
"""

from __future__ import annotations

from igpo_lightning.cli import entry

main = entry("evaluate", "igpo_lightning.evaluation.program:run")

if __name__ == "__main__":
    main()
