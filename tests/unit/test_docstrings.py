"""Public docstrings open with a verb or a noun, and not with the clause of a question."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "igpo_lightning"
QUESTION = re.compile(r"(What|Which|Whose|Who|How|Whether|Where|When|Why|Is|Are|Does)\b")


def public(node, name):
    """(name, docstring) of ``node`` and of all that is public in it."""
    yield name, ast.get_docstring(node) or ""
    for child in getattr(node, "body", ()):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and child.name[0] != "_":
            yield from public(child, f"{name}.{child.name}")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("room", sorted({path.relative_to(PACKAGE).parts[0] for path in FILES}))
def test_docstrings_open_with_a_verb_or_a_noun(room):
    files = [path for path in FILES if path.relative_to(PACKAGE).parts[0] == room]
    found = [
        f"{name}: {text.splitlines()[0]}"
        for path in files
        for name, text in public(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(PACKAGE)))
        if QUESTION.match(text)
    ]
    assert not found
