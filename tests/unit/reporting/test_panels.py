"""Panels of dashboards draw what docs/metrics.md explains, which is what runs log, and leave out nothing."""

import json
import re
from pathlib import Path

from igpo_lightning.reporting.panels import (
    COMPLETIONS,
    REPORT,
    SAMPLES,
    SECTIONS,
    UPDATES,
    Panel,
    Section,
    as_data,
    outline,
)
from igpo_lightning.reporting.summary import AFTER, BEFORE, TEST

METRICS = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
OUTCOME = {BEFORE, AFTER, TEST}  # of a W&B run's summary
PANELS = [panel for section in SECTIONS for panel in section.panels]
# Lightning's own counts, and an axis.
NOT_DRAWN = {"epoch", "step", COMPLETIONS}


def documented():
    return set(re.findall(r"^\| `([^`]+)` \|", METRICS.read_text(encoding="utf-8"), re.MULTILINE))


def drawn():
    return {name for panel in PANELS for name in panel.metrics}


def example(name):
    """A name that the configuration makes, such as rollout/reward/<term>."""
    return re.sub(r"<\w+>", "some", name)


def test_every_name_is_explained():
    assert drawn() - OUTCOME - {SAMPLES, REPORT} <= documented()
    assert {panel.x for panel in PANELS} == {UPDATES, COMPLETIONS} and COMPLETIONS in documented()


def test_every_metric_has_a_panel():
    patterns = [panel.pattern for panel in PANELS if panel.pattern]
    left = documented() - drawn() - NOT_DRAWN
    assert [name for name in left if not any(re.fullmatch(p, example(name)) for p in patterns)] == []
    for pattern in patterns:
        assert any(re.fullmatch(pattern, example(name)) for name in documented()), pattern


def test_what_is_read_first_stands_first():
    names = [section.name for section in SECTIONS]
    assert names[:6] == [
        "Result", "Second tries and hints", "Reward", "Stability", "Lengths", "Speed and memory"
    ]  # fmt: skip
    assert names[-1] == "Samples"
    assert SECTIONS[0].panels[0].metrics == (TEST,) and SECTIONS[0].panels[1].metrics == (BEFORE, AFTER)


def test_titles_are_told_apart_within_a_section():
    for section in SECTIONS:
        titles = [panel.title for panel in section.panels]
        assert len(set(titles)) == len(titles), section.name


def test_as_data_and_as_text():
    section = Section(
        "A", (Panel("b", ("c", "d"), log=True), Panel("e", pattern="f/.*", x=COMPLETIONS)), is_open=True
    )
    assert outline([section]) == "A\n  b: c, d, log scale\n  e: f/.* along rollout/completions"
    (data,) = json.loads(json.dumps(as_data([section])))
    assert data["name"] == "A" and data["is_open"] is True and data["in_report"] is True
    assert data["panels"][0] == {
        "title": "b", "metrics": ["c", "d"], "kind": "line", "pattern": None, "x": UPDATES, "log": True,
        "smoothing": 0.0,
    }  # fmt: skip
