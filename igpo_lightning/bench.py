"""Measure speed and memory: ``python -m igpo_lightning.bench``.

Compose, validate, instantiate, run. The work is in :mod:`igpo_lightning.measuring`.
"""

from __future__ import annotations

from igpo_lightning.cli import entry

main = entry("bench", "igpo_lightning.measuring.program:run")

if __name__ == "__main__":
    main()
