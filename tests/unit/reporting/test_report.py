import base64
import html
import json
import random
import re
import subprocess
import sys
import zlib
from contextlib import contextmanager

import pandas as pd
import pytest

from igpo_lightning import report
from igpo_lightning.reporting import read_run, write_report
from igpo_lightning.reporting.curves import stage_curves
from igpo_lightning.reporting.page import page
from igpo_lightning.reporting.picture import drawn, picture, running_mean
from igpo_lightning.reporting.result import sentence, tiles
from igpo_lightning.reporting.settings import differing
from igpo_lightning.reporting.summary import Accuracy
from igpo_lightning.reporting.table import duration, facts, table

PNG = b"\x89PNG\r\n\x1a\n"


def page_of(folder):
    write_report(folder)
    return (folder / "report.html").read_text()


def test_the_figures_of_a_run(run_folder):
    assert dict(facts(read_run(run_folder))) == {
        "validation accuracy before SFT": "0.0%  (95% CI 0.0 to 3.7, n = 100)",
        "validation accuracy after SFT": "20.0%  (95% CI 13.3 to 28.9, n = 100)",
        "validation accuracy after IGPO": "50.0%  (95% CI 40.4 to 59.6, n = 100)",
        "test accuracy": "40.0%  (95% CI 33.5 to 46.9, n = 200)",
        "reward of the model alone, first → last fifth": "0.250 → 0.500",
        "reward (after hints), first → last fifth": "0.500 → 0.750",
        "groups all wrong, before → after hints": "62.5% → 12.5%",
        "second tries that are correct": "55.0%",  # 22 of 40, not the mean of two rates
        "rollouts": "2",
        "completions sampled": "64",
        "wall time": "2:20  (SFT 1:01, IGPO 1:15)",
    }


def test_the_table_is_aligned(run_folder):
    lines = table(read_run(run_folder)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith("| IGPO on <tiny>") and set(lines[1]) == {"|", "-"}


def test_a_supervised_run_alone(run_folder):
    run = read_run(run_folder / "sft")
    assert dict(facts(run)) == {"validation loss": "2.500", "validation token accuracy": "25.0%"}
    assert picture(run, run_folder / "sft.png").read_bytes().startswith(PNG)


def test_without_hints_nothing_is_said_of_them(run_folder):
    (run_folder / "summary.json").unlink()
    rows = "step,rollout/reward,rollout/reward_before,rollout/all_wrong_before\n0,0.25,0.25,0.5\n"
    (run_folder / "metrics" / "metrics.csv").write_text(rows)
    text = table(read_run(run_folder))
    assert "hint" not in text and "unfinished" in text
    assert re.search(r"groups all wrong +\| 50.0%", text)


def one_rollout(run_folder, **counts):
    """The run with one rollout, of which these are the counts."""
    names = ["step", "rollout/reward", "rollout/reward_before", "rollout/all_wrong_before"]
    names += ["rollout/all_wrong_after", *(f"rollout/{name}" for name in counts)]
    cells = ",".join(map(str, (0, 0.625, 0.125, 0.75, 0.25, *counts.values())))
    (run_folder / "metrics" / "metrics.csv").write_text(f"{','.join(names)}\n{cells}\n")
    return read_run(run_folder)


TRIED = {"resampled": 6, "resampled_correct": 3, "hint_success": 0.5}


@pytest.fixture
def figures(monkeypatch):
    """Figures that are drawn from here on."""
    kept = []

    @contextmanager
    def keeping(*args):
        with drawn(*args) as figure:
            kept.append(figure)
            yield figure

    monkeypatch.setattr("igpo_lightning.reporting.picture.drawn", keeping)
    return kept


@pytest.mark.parametrize(
    ("counts", "sampled", "final"),
    [
        ({"swapped": 0, "hinted": 0}, None, None),
        ({**TRIED, "resampled_hinted": 0, "hinted": 0, "swapped": 0}, "before", "after second tries"),
        ({**TRIED, "resampled_hinted": 2, "hinted": 0}, "before", "after hints"),
        ({**TRIED, "hinted": 1}, "before", "after hints"),
        ({"swapped": 2}, "as sampled", "final groups"),
        ({**TRIED, "hinted": 1, "swapped": 1}, "as sampled", "final groups"),
    ],
    ids=["as sampled", "second tries", "hints that failed", "hints", "swaps", "hints and swaps"],
)
def test_a_run_is_told_by_what_changed_its_groups(run_folder, figures, counts, sampled, final):
    run = one_rollout(run_folder, **counts)
    told, tried = dict(facts(run)), "hint_success" in counts
    named = {tile.what: tile for tile in tiles(run)}
    picture(run, run_folder / "report.png")
    panels = {ax.get_title(loc="left"): ax for ax in figures[0].axes}
    legend = {line.get_label() for line in panels["Reward"].get_lines()}
    (charts, _) = stage_curves(run.rollouts)
    titles = {chart["title"]: [curve["label"] for curve in chart["curves"]] for chart in charts}
    if final:
        assert told["reward of the model alone, first → last fifth"] == "0.125 → 0.125"
        assert told[f"reward ({final}), first → last fifth"] == "0.625 → 0.625"
        assert told[f"groups all wrong, {sampled} → {final}"] == "75.0% → 25.0%"
        assert named["reward of the model alone"].value == "0.125" and legend == {"the model alone", final}
    else:
        assert told["reward, first → last fifth"] == "0.125 → 0.125" and told["groups all wrong"] == "75.0%"
        assert named["reward"].value == "0.125" and legend == {"the model alone"}
    assert titles["Reward"] == ["the model alone", "of the final groups"][: 1 + bool(final)]
    assert (told.get("second tries that are correct") == "50.0%") is tried
    assert ("Second tries that are correct" in panels) is ("Second tries that are correct" in titles) is tried
    assert named["completions sampled"].of.endswith(", second tries too") is tried
    hinted = final == "after hints"
    assert all(("hint" in text) is hinted for text in (table(run).partition("\n")[2], str(legend)) if final)


def test_legends_lie_off_the_data_and_points_at_zero_are_whole(run_folder, figures):
    summary = run_folder / "summary.json"
    summary.write_text(re.sub(r'"value": 0\.\d', '"value": 0.0', summary.read_text()))
    picture(read_run(run_folder), run_folder / "report.png")
    legends = [(ax, ax.get_legend()) for ax in figures[0].axes if ax.get_legend()]
    assert len(legends) >= 4
    assert all(box.get_window_extent().y1 < ax.get_window_extent().y0 for ax, box in legends)
    (accuracy,) = (ax for ax in figures[0].axes if ax.get_title(loc="left") == "Validation accuracy")
    low, high = accuracy.get_ylim()
    assert -0.1 * high < low < 0


@pytest.fixture
def no_library(monkeypatch):
    """A machine without Bokeh."""
    monkeypatch.setattr("igpo_lightning.reporting.page.plotting_library", lambda: None)


def test_the_page_stands_alone_and_escapes(run_folder, no_library):
    text = page_of(run_folder)
    assert 'so <mark class="hint">&lt;4&gt; </mark>#### 7' in text and "1 &lt; 2 &amp; 3?" in text
    assert "IGPO on &lt;tiny&gt;" in text and "<tiny>" not in text and "name: &lt;b&gt;" in text
    assert "abc123" in text and "http:" not in text and "https:" not in text.replace("https://bokeh.org", "")
    assert "default-src 'none'" in text  # a browser would refuse to load anything
    (image,) = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert base64.b64decode(image) == (run_folder / "report.png").read_bytes()


def test_without_scripts_the_curves_are_tables(run_folder, no_library):
    text = re.sub(r"\s+", " ", page_of(run_folder))
    row = "".join(
        f"<td>{share}</td>" for share in ("50.0%", "50.0%", "50.0%", "50.0%", "75.0%", "50.0%", "75.0%")
    )
    assert f'<td class="wide">as sampled</td>{row}' in text


def test_text_of_the_model_stays_text_on_the_page(run_folder, no_library):
    path = run_folder / "samples.jsonl"
    scripts = page_of(run_folder).count("<script")
    odd = "\n </script><script>alert('1')</script> {{ 7 * 7 }} {% raw %} <!-- \n"
    row = json.loads(path.read_text())
    row |= {"prompt": odd, "answer": odd, "trace": odd, "pieces": [[odd, False], [odd, True]]}
    row |= {"tokens": [odd, odd], "columns": {"step": [0, -1], "hint": [0, 1], "kept": [1, 0]}}
    path.write_text(json.dumps(row) + "\n")
    text = page_of(run_folder)
    assert text.count("<script") == text.count("</script>") == scripts
    assert "<!--" not in text and html.unescape(text).count(odd) == 5
    (data,) = re.findall(r'id="data">([^<]+)<', text)
    assert json.loads(zlib.decompress(base64.b64decode(data)))["samples"][0]["tokens"] == [odd, odd]


def test_many_samples_are_thinned_from_first_to_last(run_folder, no_library):
    path = run_folder / "samples.jsonl"
    row = json.loads(path.read_text())
    path.write_text("".join(json.dumps(row | {"rollout": w}) + "\n" for w in range(200)))
    shown = re.findall(r"rollout (\d+) ·", page_of(run_folder))
    assert len(shown) == 6 and (shown[0], shown[-1]) == ("1", "200")


def test_samples_stand_with_the_gold_trace_beside_and_no_kind_is_passed_over(run_folder, no_library):
    path = run_folder / "samples.jsonl"
    right = json.loads(path.read_text())
    wrong = right | {"correct": False, "inpainted": False, "trace": "1 < 2 #### 7", "rollout": 4}
    path.write_text(f"{json.dumps(right)}\n{json.dumps(wrong)}\n")
    text = page_of(run_folder)
    counts = "wrong, without hints: 1 of 1; right, with hints: 1 of 1; right, without hints: 0 of 0"
    assert counts in text and "wrong, with hints: 0 of 0." in text
    first, second = text.split("<article")[1:]
    assert 'data-is="wrong own late"' in first and 'data-is="right hinted early"' in second
    assert "rollout 5 ·" in first and "<pre>1 &lt; 2 #### 7</pre>" in first
    assert "rollout 1 ·" in second and "gold</span>" not in second  # written before traces were kept


def test_hints_with_gradient_are_told_from_those_without(run_folder, no_library):
    path = run_folder / "samples.jsonl"
    row = json.loads(path.read_text()) | {"tokens": ["so ", "<4>", " ", "#### ", "7"], "advantage": 0.5}
    row["columns"] = {"step": [0, -1, -1, 1, 2], "hint": [0, 1, 1, 0, 0], "kept": [1, 1, 0, 1, 0]}
    path.write_text(json.dumps(row) + "\n")
    text = page_of(run_folder)
    assert 'so <mark class="kept">&lt;4&gt;</mark><mark class="dropped"> </mark>#### 7' in text
    assert "advantage +0.50" in text and "How it was written" in text


def test_a_page_shows_so_many_tokens_step_by_step_at_most(run_folder, no_library, monkeypatch):
    path = run_folder / "samples.jsonl"
    row = json.loads(path.read_text()) | {"tokens": ["x"] * 4, "columns": {"step": [0, 1, 2, 3]}}
    path.write_text("".join(json.dumps(row | {"rollout": w}) + "\n" for w in range(6)))
    monkeypatch.setattr("igpo_lightning.reporting.page.MAX_TOKENS", 9)
    assert page_of(run_folder).count("How it was written") == 2


def test_a_page_of_a_thousand_updates_is_below_a_megabyte(run_folder, monkeypatch):
    """With 60 metrics that do not repeat, and samples of 256 tokens; Bokeh's scripts take 0.52 MB."""
    draw = random.Random(0).random
    names = ["step", "rollout/reward", *(f"train/{i}" for i in range(60))]
    rows = (",".join(map(repr, [step, *(draw() for _ in names[1:])])) for step in range(1000))
    (run_folder / "metrics" / "metrics.csv").write_text("\n".join([",".join(names), *rows]))
    path = run_folder / "samples.jsonl"
    row = json.loads(path.read_text()) | {"trace": "word " * 200}
    row["tokens"] = [f" word{i}" for i in range(256)]
    for rollout in range(100):
        numbers = {name: [round(draw(), 4) for _ in range(256)] for name in ("old_logp", "ref_logp")}
        flags = {name: [int(draw() < 0.5) for _ in range(256)] for name in ("step", "hint", "kept")}
        kind = {"correct": draw() < 0.5, "inpainted": draw() < 0.5, "rollout": rollout}
        with path.open("a") as file:
            file.write(json.dumps(row | kind | {"columns": numbers | flags}) + "\n")
    monkeypatch.setattr("igpo_lightning.reporting.page.plotting_library", lambda: "x" * 520_000)
    size = page(read_run(run_folder), run_folder / "report.html", run_folder / "none.png").stat().st_size
    assert 600_000 < size < 1_000_000


def test_the_result_in_a_sentence(run_folder):
    # Wilson's intervals are [.133, .289] of .2 and [.404, .596] of .5, both of 100; Newcombe's of the gain
    # .3 - hypot(.5 - .404, .289 - .2) = .169 and .3 + hypot(.596 - .5, .2 - .133) = .417
    assert sentence(read_run(run_folder)) == (
        "IGPO took validation accuracy from 20.0% to 50.0% on 100 problems: +30.0 points (95% interval +16.9 "
        "to +41.7). On 200 test problems it solves 40.0%."
    )
    assert (
        Accuracy(0.25, 100).gain(Accuracy(0.2, 100))[0] < 0 and Accuracy(0.3).gain(Accuracy(0.2, 9)) is None
    )
    told = [(tile.what, tile.value, tile.of) for tile in tiles(read_run(run_folder))]
    assert told[2] == ("validation accuracy after IGPO", "50.0%", "95% CI 40.4 to 59.6, n = 100 problems")
    assert told[0] == ("validation accuracy before SFT", "0.0%", "95% CI 0.0 to 3.7, n = 100 problems")
    assert told[4] == (
        "reward of the model alone",
        "0.500",
        "± 0.000 from rollout to rollout, n = the last 1 of 2",
    )


def test_settings_beside_the_defaults():
    config = "output_dir: /x\nseed: 7\nsampler: {steps: 14}\nmine: {path: /x/model}\n"
    found = {key: (own, default) for key, own, default in differing(config)}
    assert found["seed"] == (7, 0) and found["mine.path"] == ("./model", None)
    assert found["algo.name"] == (None, "igpo") and "output_dir" not in found
    assert differing("a: [") == differing("[]") == []


def test_the_command_writes_all_three_without_torch(run_folder):
    code = (
        "import sys; from igpo_lightning.report import main; import igpo_lightning.reporting.page; "
        "assert not {'pandas', 'matplotlib', 'jinja2'} & set(sys.modules); status = main(sys.argv[1:]); "
        "assert not {'torch', 'lightning'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, run_folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "validation accuracy after IGPO" in done.stdout
    assert (run_folder / "report.png").read_bytes().startswith(PNG)
    assert "![report](report.png)" in (run_folder / "report.md").read_text()
    assert (run_folder / "report.html").exists()


def test_the_command_reports_a_wrong_folder_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        report.main([str(tmp_path)])
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(tmp_path) in error and error.count("\n") == 1


def test_the_page_has_the_command_of_every_start(run_folder, no_library):
    record = {"command": "igpo-train resume=auto", "earlier": [{"command": "igpo-train algo=igpo"}]}
    (run_folder / "provenance.json").write_text(json.dumps(record))
    assert "<pre>igpo-train algo=igpo\nigpo-train resume=auto</pre>" in page_of(run_folder)


def test_small_parts():
    assert running_mean(pd.Series([0.0, 3.0, 6.0, 3.0]), 1).tolist() == [1.5, 3.0, 4.0, 4.5]
    assert [duration(s) for s in (None, 5, 75.4, 3661)] == ["", "0:05", "1:15", "1:01:01"]
