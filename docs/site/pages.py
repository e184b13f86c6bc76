"""Gather the site's pages: this repository's Markdown and what it links to, where they lie, and a reference.

Run by `make docs`; they go to build/site-pages. The reference has a page for every module of the package that
says in ``__all__`` what it offers; mkdocstrings fills it from the docstrings.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "build" / "site-pages"
COPIED = ("*.md", "docs/*.md", "experiments/*.md", "experiments/*/*.md")
LINK = re.compile(r"\]\(([^)\s#]+)")


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = [path for pattern in COPIED for path in sorted(ROOT.glob(pattern))]
    for path in {*pages, *(file for page in pages for file in linked(page))}:
        target = PAGES / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    reference = PAGES / "reference"
    reference.mkdir()
    for module, names in offered():
        lines = [f"# {module}", *(f"::: {module}.{name}" for name in names)]
        (reference / f"{module}.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    write_config()


def linked(page: Path) -> Iterator[Path]:
    """Files of this repository, pictures and sources, that a page links to."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / link).resolve()
        if target.is_file() and target.is_relative_to(ROOT):
            yield target


def offered() -> Iterator[tuple[str, list[str]]]:
    """(module, its ``__all__``) of the package and of its folders."""
    for path in sorted((ROOT / "igpo_lightning").glob("**/__init__.py")):
        module = ".".join(path.parent.relative_to(ROOT).parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                yield module, sorted(ast.literal_eval(node.value))


def write_config() -> None:
    """mkdocs.yml with the pages of the two folders in its navigation."""
    path = Path(__file__).with_name("mkdocs.yml")
    text = path.read_text(encoding="utf-8")
    for folder, pattern in (("experiments/", "**/README.md"), ("reference/", "*.md")):
        pages = [str(page.relative_to(PAGES)) for page in sorted((PAGES / folder).glob(pattern))]
        text = text.replace(f": {folder}\n", ":\n" + "".join(f"      - {page}\n" for page in pages))
    (PAGES.parent / "mkdocs.yml").write_text(text.replace("../..", str(ROOT)), encoding="utf-8")


if __name__ == "__main__":
    main()
