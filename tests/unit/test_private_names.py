"""Names that libraries keep to themselves are used in one file per library, which says why."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "igpo_lightning"
PLACES = {"lightning": "lightning_private.py", "hydra": "cli/hydra_private.py"}
LIGHTNINGS = ("trainer", "fit_loop", "epoch_loop", "strategy")  # attributes whose own ones are Lightning's


def private(source):
    """(library, line) of private modules and names that are imported, and attributes of a trainer's parts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            names = [f"lightning.{owner}.{node.attr}"] if owner in LIGHTNINGS else []
        else:
            continue
        for name in names:
            library, *rest = name.split(".")
            if library in PLACES and any(part.startswith("_") for part in rest):
                yield library, node.lineno


def test_what_counts_as_private():
    source = """
from hydra._internal.utils import x
from lightning.pytorch import Trainer
self.trainer.fit_loop._y = 1
self._mine = trainer.a
"""
    assert list(private(source)) == [("hydra", 2), ("lightning", 4)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_private_names_have_their_place(path):
    for library, line in private(path.read_text(encoding="utf-8")):
        assert path == PACKAGE / PLACES[library], f"line {line}: private to {library}"
