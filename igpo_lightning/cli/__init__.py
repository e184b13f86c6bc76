"""The command line: Hydra's, with quick refusals of one line each.

:mod:`program` makes a program of a config and a function. Before anything heavy is imported,
:mod:`line` lets Hydra compose what the command line asks for (:mod:`tree`) and checks it: what Hydra can't
read (:mod:`quoting`), names that don't exist (:mod:`names`, :mod:`habits`), values of another type
(:mod:`values`), interpolations that lead nowhere (:mod:`composed`), classes and their arguments
(:mod:`targets`). Nothing here imports torch.
"""

from igpo_lightning.cli.program import Job, entry

__all__ = ["Job", "entry"]
