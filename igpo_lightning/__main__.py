"""``python -m igpo_lightning``: the programs, with one line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from igpo_lightning import __version__
from igpo_lightning.cli.arguments import version
from igpo_lightning.cli.terminal import guarded
from igpo_lightning.errors import ConfigError

PROGRAMS = {
    "train": "train a model: supervised fine-tuning, GRPO, IGPO; with -m, a sweep",
    "sample": "complete prompts, with hints, and watch the canvas being filled",
    "evaluate": "measure a model on mathematics benchmarks, with confidence intervals",
    "bench": "measure speed and memory beside the published code, or a checkout of your own",
    "rescore": "judge the saved completions of an evaluation again",
    "rewrite": "rewrite long reasoning traces into concise ones that fit the canvas",
    "export": "make a model folder of a run's checkpoint",
    "report": "write a run's report again",
    "collect": "put the runs of a sweep into tables, a picture and a page",
    "dashboard": "make a workspace and a report at W&B, for a project or a sweep",
}


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """List the programs. Returns the exit status.

    Raises:
        ConfigError: It was given an argument, and takes none.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if given == ["--version"]:
        print(version())
    elif not given or given[0] in ("-h", "--help"):
        print(listing())
    else:
        program = given[0] if given[0] in PROGRAMS else "train"
        raise ConfigError(f"{given[0]}: did you mean python -m igpo_lightning.{program}?")
    return 0


def listing() -> str:
    """The programs as text."""
    width = max(map(len, PROGRAMS))
    lines = [f"  python -m igpo_lightning.{name:{width}}  {what}" for name, what in PROGRAMS.items()]
    installed = ", ".join(f"igpo-{name}" for name in PROGRAMS)
    return "\n".join(
        [
            f"igpo_lightning {__version__}: reinforcement learning for masked diffusion language models",
            "",
            *lines,
            "",
            f"Installed, they are called {installed}.",
            "Each answers --help; a first run that needs nothing: python -m igpo_lightning.train",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
