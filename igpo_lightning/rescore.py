"""Judge saved completions again: ``python -m igpo_lightning.rescore FOLDER [reward=math]``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.folders import EVALUATION, check_kind, composed, program

_ABOUT = """\
Judge the saved completions of an evaluation again, without the model, and write its figures anew.
"""
_SETTINGS = {
    "reward=NAME": "how a completion is judged: a file of conf/reward (accuracy without it)",
    "reward.KEY=VALUE": "a setting of it, e.g. reward.terms.accuracy.verifier.timeout=10",
}


def _run(folder: Path, texts: list[str]) -> None:
    for text in texts:
        if not re.match(r"[+~]*reward\b", text):
            raise ConfigError(f"{text}: expected {' or '.join(_SETTINGS)}")
    cfg = composed("evaluate", "rescore", folder, texts)
    check_kind(folder, EVALUATION)
    from igpo_lightning.evaluation.program import rescore

    rescore(cfg)


main = program("rescore", _run, _ABOUT, _SETTINGS, of="that of an evaluation")

if __name__ == "__main__":
    sys.exit(main())
