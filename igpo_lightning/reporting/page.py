"""The files of a run's report, and the pages of ``templates``, which open anywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from igpo_lightning.errors import ConfigError
from igpo_lightning.pages import packed, plotting_library, write_template
from igpo_lightning.provenance import starts
from igpo_lightning.reporting.curves import AXES, stage_curves, stations
from igpo_lightning.reporting.picture import picture
from igpo_lightning.reporting.result import sentence, tiles
from igpo_lightning.reporting.run import Run, label, read_run
from igpo_lightning.reporting.samples import by_kind, runs
from igpo_lightning.reporting.settings import differing, show
from igpo_lightning.reporting.table import facts, table
from igpo_lightning.sample_record import SampleRecord

MAX_SAMPLES = 6  # of each kind
MAX_TOKENS = 8000  # of all samples that are shown step by step, so that a page stays below 1 MB


def write_report(folder: str | Path) -> str:
    """Write ``report.png``, ``report.md`` and ``report.html`` into a run folder; return the table."""
    run = read_run(folder)
    if not any(stage.logged for stage in run.stages):
        raise ConfigError(f"{folder}: the run kept no metrics (logger=csv does), so there is nothing to draw")
    text = table(run)
    drawn = picture(run, run.folder / "report.png")
    markdown = f"# {run.title}\n\n{text}\n\n![report](report.png)\n"
    (run.folder / "report.md").write_text(markdown, encoding="utf-8")
    page(run, run.folder / "report.html", drawn)
    return text


def page(run: Run, path: str | Path, drawn: Path) -> Path:
    """Write the page: result, key figures, curves, samples, config beside its defaults, provenance."""
    samples = _chosen(run.samples)
    made = {
        "The whole configuration": run.config,
        "Provenance": run.provenance and json.dumps(run.provenance, indent=2),
    }
    return write_page(
        path,
        "run.html",
        drawn,
        sections=_sections(run),
        samples=[(sample, _is(sample, run.samples)) for sample in samples],
        viewed=_viewed(samples),
        runs=runs,
        kinds=_counts(samples, run.samples),
        title=run.title,
        subtitle=run.folder.resolve().name + ("" if run.finished else ", unfinished"),
        result=sentence(run),
        tiles=list(tiles(run)),
        settings=[[key, show(own), show(default)] for key, own, default in differing(run.config)],
        commands="\n".join(start["command"] for start in starts(run.provenance or {}) if "command" in start),
        made={name: text for name, text in made.items() if text},
        facts=[list(fact) for fact in facts(run)],
    )


def write_page(
    path: str | Path,
    template: str,
    drawn: Path | None,
    *,
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    viewed: Sequence[Mapping[str, Any]] = (),
    **values: Any,
) -> Path:
    """Write a page that loads nothing from elsewhere; all ``values`` are plain text, which it escapes.

    Args:
        drawn: The picture, if any, which it holds where there is no plotting library.
        sections: Title → the charts that stand beneath it; all but the first are folded.
        viewed: The completions that it shows step by step.
    """
    library = plotting_library() if any(sections.values()) else None
    image = base64.b64encode(drawn.read_bytes()).decode() if drawn and library is None else None
    data = packed({"axes": AXES, "charts": sections if library else None, "samples": viewed})
    shared = {"image": image, "library": library, "data": data, "sections": sections}
    write_template(
        path, "reporting", template, axes=AXES, stations=stations, viewed=len(viewed), **shared, **values
    )
    return Path(path)


def _sections(run: Run) -> dict[str, list[dict[str, Any]]]:
    """The last stage's charts, what else it logged, and the stages before it."""
    last, *before = ((label(stage.stage), *stage_curves(stage)) for stage in reversed(run.stages))
    name, charts, more = last
    sections = {name: charts}
    if more:
        sections[f"{len(more)} more metrics of {name}"] = more
    return sections | {f"The stage before: {name}": [*charts, *more] for name, charts, more in before}


def _chosen(samples: Sequence[SampleRecord]) -> list[SampleRecord]:
    """At most MAX_SAMPLES of each kind, in turns."""
    kinds = [_spread(found) for found in by_kind(samples).values()]
    return [kind[i] for i in range(MAX_SAMPLES) for kind in kinds if i < len(kind)]


def _spread(samples: list[SampleRecord]) -> list[SampleRecord]:
    """At most MAX_SAMPLES of them, evenly over the run, the first and the last among them."""
    if len(samples) <= MAX_SAMPLES:
        return samples
    return [samples[i * (len(samples) - 1) // (MAX_SAMPLES - 1)] for i in range(MAX_SAMPLES)]


def _counts(shown: Sequence[SampleRecord], kept: Sequence[SampleRecord]) -> str:
    """Numbers of samples of each kind, on the page and in the run's file."""
    ours, theirs = by_kind(shown), by_kind(kept)
    return "; ".join(f"{kind}: {len(ours[kind])} of {len(theirs[kind])}" for kind in theirs)


def _viewed(samples: Sequence[SampleRecord]) -> list[dict[str, Any]]:
    """Samples to be shown step by step: the first ones that have MAX_TOKENS together."""
    ends = accumulate(len(sample.tokens) for sample in samples)
    viewed = [sample for sample, end in zip(samples, ends, strict=True) if end <= MAX_TOKENS]
    return [{"tokens": sample.tokens, "columns": sample.columns} for sample in viewed]


def _is(sample: SampleRecord, samples: Sequence[SampleRecord]) -> list[str]:
    """The words that samples are filtered by; the first one is the verdict."""
    share = sample.rollout / max(1, max(other.rollout for other in samples))
    when = "early" if share < 1 / 3 else "late" if share > 2 / 3 else "between"
    return ["right" if sample.correct else "wrong", "hinted" if sample.inpainted else "own", when]
