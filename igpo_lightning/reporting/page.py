"""One self-contained page of a run: opens anywhere, loads nothing from elsewhere."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from pathlib import Path

from igpo_lightning.reporting.picture import picture
from igpo_lightning.reporting.run import Run
from igpo_lightning.reporting.samples import Sample, by_kind, marked
from igpo_lightning.reporting.table import facts

MAX_SAMPLES = 6  # of each kind

_STYLE = """
:root { --ink:#1f2933; --muted:#7b8794; --line:#e4e7eb; --paper:#ffffff; --card:#f7f8fa; --hint:#ffe2a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink:#e7ebf0; --muted:#97a3b0; --line:#2c3540; --paper:#12171d; --card:#1a2129; --hint:#7a5300; }
}
* { box-sizing:border-box; }
body { margin:0 auto; max-width:1120px; padding:40px 24px 80px; background:var(--paper); color:var(--ink);
  font:16px/1.55 system-ui, sans-serif; }
h1 { font-size:30px; margin:0 0 4px; } h2 { font-size:19px; margin:44px 0 14px; }
.muted { color:var(--muted); }
.tiles { display:flex; flex-wrap:wrap; gap:14px; margin:24px 0; }
.tile { flex:1 1 200px; background:var(--card); border:1px solid var(--line); border-radius:12px;
  padding:14px 18px; }
.tile b { display:block; font-size:28px; line-height:1.25; }
.chart { background:#fff; border:1px solid var(--line); border-radius:12px; padding:8px; }
.chart img { display:block; width:100%; }
table { border-collapse:collapse; width:100%; }
td { border-bottom:1px solid var(--line); padding:7px 0; vertical-align:top; }
td:last-child { text-align:right; font-variant-numeric:tabular-nums; }
.sample { border:1px solid var(--line); border-left:4px solid #c8553d; border-radius:8px; padding:12px 16px;
  margin:12px 0; background:var(--card); }
.sample.right { border-left-color:#1b998b; }
.sample p { margin:6px 0; }
.pair { display:grid; grid-template-columns:repeat(auto-fit, minmax(260px, 1fr)); gap:4px 20px; }
h3 { font-size:16px; margin:26px 0 8px; }
pre { white-space:pre-wrap; overflow-wrap:anywhere; margin:6px 0; font:13.5px/1.6 ui-monospace, monospace; }
mark { background:var(--hint); color:inherit; border-radius:3px; padding:1px 2px; }
summary { cursor:pointer; font-weight:600; margin:14px 0; }
"""


def page(run: Run, path: str | Path) -> Path:
    """Write the page: key figures, picture, table, samples with hints marked, config, provenance."""
    parts = [
        f"<h1>{html.escape(run.title)}</h1>",
        f'<div class="muted">{html.escape(_subtitle(run))}</div>',
        _tiles(run),
        f'<div class="chart"><img alt="curves of this run" src="data:image/png;base64,{_png(run)}"></div>',
        "<h2>Figures</h2>",
        _table(run),
        _samples(run.samples),
        "<h2>How it was made</h2>",
        _details("Configuration", run.config),
        _details("Provenance", json.dumps(run.provenance, indent=2) if run.provenance else ""),
    ]
    body = "\n".join(part for part in parts if part)
    Path(path).write_text(document(run.title, body), encoding="utf-8", errors="replace")
    return Path(path)


def document(title: str, body: str) -> str:
    """A whole page around ``body``, which is HTML; ``title`` is plain text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _subtitle(run: Run) -> str:
    folder = run.folder.resolve().name
    return folder if run.finished else f"{folder}, unfinished"


def _tiles(run: Run) -> str:
    shown = [(f"validation, {when}", accuracy) for when, accuracy in run.accuracies()]
    shown += [("test", run.test)] if run.test is not None else []
    tiles = [
        f'<div class="tile"><span class="muted">{html.escape(when)}</span><b>{100 * a.value:.1f}%</b></div>'
        for when, a in shown
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _png(run: Run) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return base64.b64encode(picture(run, Path(folder) / "report.png").read_bytes()).decode()


def _table(run: Run) -> str:
    rows = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in facts(run))
    return f"<table>{rows}</table>"


def _samples(samples: tuple[Sample, ...]) -> str:
    if not samples:
        return ""
    note = (
        '<p class="muted">Text on <mark>this ground</mark> was written in as a hint from the gold trace. '
        "The mix is fixed, a quarter of each kind: how many there are of one says nothing of how often it "
        "happens.</p>"
    )
    kinds = "".join(_kind(name, found) for name, found in by_kind(samples).items())
    return f"<h2>Samples</h2>{note}{kinds}"


def _kind(name: str, samples: list[Sample]) -> str:
    shown = "".join(_sample(sample) for sample in _spread(samples, MAX_SAMPLES))
    return f"<h3>{name.capitalize()}</h3>{shown or '<p>None in the rollouts that were kept.</p>'}"


def _spread(samples: list[Sample], count: int) -> list[Sample]:
    """At most ``count`` samples, evenly over the run, the first and the last among them."""
    if len(samples) <= count:
        return samples
    return [samples[i * (len(samples) - 1) // (count - 1)] for i in range(count)]


def _sample(sample: Sample) -> str:
    verdict = "right" if sample.correct else "wrong"
    origin = " · with hints" if sample.inpainted else ""
    head = (
        f"rollout {sample.window + 1} · {verdict}{origin} · reward {sample.reward:.2f} · gold {sample.answer}"
    )
    sides = _side("model", marked(sample.pieces, "html"))
    if sample.trace:
        sides += _side("gold", html.escape(sample.trace))
    return (
        f'<div class="sample {verdict}"><div class="muted">{html.escape(head)}</div>'
        f'<p>{html.escape(sample.prompt)}</p><div class="pair">{sides}</div></div>'
    )


def _side(name: str, text: str) -> str:
    return f'<div><span class="muted">{name}</span><pre>{text}</pre></div>'


def _details(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{html.escape(text)}</pre></details>" if text else ""
