"""Every option of every group composes in every program that has the group."""

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.tree import open_tree
from igpo_lightning.config import find_conf

# Their answers are no mathematics, which is all that the check of a rewritten trace knows.
ELSEWHERE = {("rewrite", option) for option in ("code", "countdown", "countdown_hub", "sudoku")}


@pytest.mark.parametrize("program", ["evaluate", "sample", "bench", "rewrite"])  # all of train's are trained
def test_every_option_composes(program):
    """A model or a data set may choose in other groups, which each program has to have."""
    with open_tree(find_conf(), program) as tree:
        groups = tree.groups()
        chosen = {"model", "data", "prompt", "rewriter"} & groups.keys()
        assert "model" in chosen or "rewriter" in chosen
        for group in chosen:
            for option in groups[group]:
                if (program, option) in ELSEWHERE:
                    with pytest.raises(
                        ConfigError, match=f"^data={option}: it chooses a reward, and rewrite.yaml"
                    ):
                        tree.compose([f"data={option}"])
                else:
                    assert tree.compose([f"{group}={option}"]).choices[group] == option
