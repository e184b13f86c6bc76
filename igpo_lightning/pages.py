"""Pages that load nothing from elsewhere, from the templates of a room and those that all rooms share."""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_BOKEH = ("bokeh.min.js", "bokeh-api.min.js")


def write_template(path: str | Path, room: str, template: str, **values: Any) -> None:
    """Write ``template`` of the ``templates`` of ``room``; ``values`` are plain text, which it escapes."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=ChoiceLoader([PackageLoader(f"igpo_lightning.{room}"), PackageLoader("igpo_lightning")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template(template).render(**values)
    Path(path).write_text(text, encoding="utf-8", errors="replace")


def packed(value: Any) -> str:
    """``value`` as JSON, deflated, in base64: none of its text can end the script that holds it."""
    return _deflated(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


@lru_cache(maxsize=1)
def plotting_library() -> str | None:
    """Bokeh's scripts with their licence, packed for a page; None where Bokeh is not installed."""
    spec = find_spec("bokeh")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], "server", "static", "js")
    files = [folder / name for name in _BOKEH]
    if not all(file.is_file() for file in files):
        return None
    return _deflated("\n".join(file.read_text(encoding="utf-8") for file in files))


def _deflated(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9)).decode()
