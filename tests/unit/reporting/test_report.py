import base64
import html
import json
import re
import subprocess
import sys

import pytest

from igpo_lightning import report
from igpo_lightning.reporting import read_run, write_report
from igpo_lightning.reporting.picture import picture, running_mean
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
        "reward after hints, first → last fifth": "0.500 → 0.750",
        "groups all wrong, before → after hints": "62.5% → 12.5%",
        "completions with hints that are correct": "50.0%",
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


def test_the_page_stands_alone_and_escapes(run_folder):
    text = page_of(run_folder)
    assert "so <mark>&lt;4&gt; </mark>#### 7" in text and "1 &lt; 2 &amp; 3?" in text
    assert "IGPO on &lt;tiny&gt;" in text and "<tiny>" not in text and "name: &lt;b&gt;" in text
    assert "abc123" in text and "http" not in text
    (image,) = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert base64.b64decode(image) == (run_folder / "report.png").read_bytes()


def test_text_of_the_model_stays_text_on_the_page(run_folder):
    path = run_folder / "samples.jsonl"
    odd = "\n <script>alert('1')</script> {{ 7 * 7 }} {% raw %} \n"
    row = json.loads(path.read_text())
    row |= {"prompt": odd, "answer": odd, "trace": odd, "pieces": [[odd, False], [odd, True]]}
    path.write_text(json.dumps(row) + "\n")
    text = page_of(run_folder)
    assert "<script" not in text and html.unescape(text).count(odd) == 5


def test_many_samples_are_thinned_from_first_to_last(run_folder):
    path = run_folder / "samples.jsonl"
    row = json.loads(path.read_text())
    path.write_text("".join(json.dumps(row | {"rollout": w}) + "\n" for w in range(200)))
    shown = re.findall(r"rollout (\d+) ·", page_of(run_folder))
    assert len(shown) == 6 and (shown[0], shown[-1]) == ("1", "200")


def test_samples_stand_by_kind_with_the_gold_trace_beside_and_no_kind_is_passed_over(run_folder):
    path = run_folder / "samples.jsonl"
    right = json.loads(path.read_text())
    wrong = right | {"correct": False, "inpainted": False, "trace": "1 < 2 #### 7", "rollout": 4}
    path.write_text(f"{json.dumps(right)}\n{json.dumps(wrong)}\n")
    text = page_of(run_folder)
    _, *kinds = re.split("<h3>", text.partition("<h2>How it was made")[0])
    assert [kind.partition("<")[0] for kind in kinds] == [
        "Wrong, without hints", "Right, with hints", "Right, without hints", "Wrong, with hints",
    ]  # fmt: skip
    assert "rollout 5 ·" in kinds[0] and "<pre>1 &lt; 2 #### 7</pre>" in kinds[0]
    assert "rollout 1 ·" in kinds[1] and "gold</span>" not in kinds[1]  # written before traces were kept
    assert ["None" in kind for kind in kinds] == [False, False, True, True]


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


def test_small_parts():
    assert running_mean([0.0, 3.0, 6.0, 3.0], 1) == [1.5, 3.0, 4.0, 4.5]
    assert [duration(s) for s in (None, 5, 75.4, 3661)] == ["", "0:05", "1:15", "1:01:01"]
