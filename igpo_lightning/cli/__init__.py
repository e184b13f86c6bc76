"""The command line: Hydra's, with quick refusals of one line each.

:mod:`program` makes a program of a config and a function. Before anything heavy is imported,
:mod:`line` lets Hydra compose what the command line asks for (:mod:`tree`) and checks it: what Hydra can't
read (:mod:`quoting`), names that don't exist (:mod:`names`, :mod:`habits`), values of another type
(:mod:`values`), interpolations that lead nowhere (:mod:`composed`), classes and their arguments
(:mod:`targets`). Nothing here imports torch.
"""

import sys

try:
    from igpo_lightning.cli.program import Job, entry
except ModuleNotFoundError as missing:  # from a checkout, by a Python without its packages
    if (missing.name or "").partition(".")[0] not in ("hydra", "omegaconf", "yaml"):
        raise
    print(
        f"error: the package {missing.name} is not installed for {sys.executable}: make setup, and then "
        ".venv/bin/python -m igpo_lightning…; or pip install igpo-lightning",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

__all__ = ["Job", "entry"]
