"""Pages that load nothing from elsewhere, from the templates of a room."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_template(path: str | Path, room: str, template: str, **values: Any) -> None:
    """Write ``template`` of the ``templates`` of ``room``; ``values`` are plain text, which it escapes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader(f"igpo_lightning.{room}"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template(template).render(**values)
    Path(path).write_text(text, encoding="utf-8", errors="replace")
