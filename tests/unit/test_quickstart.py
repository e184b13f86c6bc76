"""The figures of the README follow from the results that are kept."""

import json
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "quickstart"
RESULTS = [json.loads(path.read_text()) for path in sorted((FOLDER / "results").glob("*.json"))]


def percent(name, digits):
    """(mean, least, most) of the seeds in per cent."""
    values = [100 * result[name] for result in RESULTS]
    return [f"{value:.{digits}f}" for value in (mean(values), min(values), max(values))]


def test_of_five_seeds():
    assert len(RESULTS) == 5 and all(result["test_problems"] == 1000 for result in RESULTS)


@pytest.mark.parametrize(
    "name",
    ["validation_after_sft", "validation_after", "test", "all_wrong_before_hints", "all_wrong_after_hints"],
)
def test_the_experiments_table(name):
    middle, least, most = percent(name, 1)
    text = (FOLDER / "README.md").read_text().replace("*", "")
    assert f"| {middle} % | {least} % | {most} % |" in text


def test_the_projects_readme():
    text = " ".join((ROOT / "README.md").read_text().split())
    sft, test = percent("validation_after_sft", 0), percent("test", 0)
    assert f"{sft[0]} % of the validation problems after SFT ({sft[1]} to {sft[2]})" in text
    assert f"{test[0]} % of 1,000 test problems after IGPO** ({test[1]} to {test[2]})" in text
    before, after = percent("all_wrong_before_hints", 0)[0], percent("all_wrong_after_hints", 0)[0]
    assert f"all-wrong groups from {before} % to {after} %" in text
