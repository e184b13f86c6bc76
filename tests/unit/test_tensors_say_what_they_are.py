"""Every tensor that is made says its dtype and its device.

Lightning changes both defaults: within ``bf16-true`` and ``64-true`` new tensors are of that dtype, and where
a model is configured they are on the GPU.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "igpo_lightning"
MAKERS = {
    *("tensor", "as_tensor", "zeros", "ones", "full", "empty", "arange", "linspace", "eye", "scalar_tensor"),
    *("rand", "randn", "randint", "randperm", "tril", "triu_indices", "normal", "from_numpy"),
}


def silent(source):
    """(line, call) of what is made without a word about its dtype or device."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id == "torch" and name in MAKERS:
            given = {keyword.arg for keyword in node.keywords}
            if None not in given and not {"dtype", "device"} <= given:  # None: **options
                yield node.lineno, ast.unparse(node)


def test_this_test_sees_them():
    found = list(
        silent("x = torch.zeros(3)\ny = torch.ones(2, dtype=d)\nz = torch.full((2,), 1, dtype=d, device=e)")
    )
    assert [line for line, _ in found] == [1, 2]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_tensor_of(path):
    found = [f"{path.name}:{line}: {call}" for line, call in silent(path.read_text())]
    assert not found, "\n".join(found)
