"""Train: ``python -m igpo_lightning.train algo=igpo model=tiny``.

Compose, validate, instantiate, run. No algorithm in here: the config names every class.
"""

from __future__ import annotations

from igpo_lightning.cli import entry

main = entry("train", "igpo_lightning.training.run:run")

if __name__ == "__main__":
    main()
