"""Grouping of jobs, and the files of a collected sweep, on run folders made by hand."""

from __future__ import annotations

import csv
import json
import math
import re
from contextlib import contextmanager
from itertools import pairwise

import pytest

from igpo_lightning import collect
from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting import write_report
from igpo_lightning.reporting.curves import mean_curves
from igpo_lightning.reporting.noise import Figure, apart, difference, student
from igpo_lightning.reporting.picture import drawn
from igpo_lightning.reporting.settings import show
from igpo_lightning.reporting.sweep import is_interval, read_sweep, short
from igpo_lightning.reporting.sweep_jobs import FIGURES
from igpo_lightning.reporting.sweep_picture import sweep_picture
from igpo_lightning.reporting.sweep_write import FILES, amount, table, verdict, write_sweep
from igpo_lightning.sweeping.record import Record

ROWS = (
    "rollout/all_wrong_before,rollout/reward,rollout/reward_before,step,train/kl\n0.5,0.9,{reward},1,0.01\n"
)


@pytest.fixture
def job(tmp_path):
    """``job("a", accuracy=0.5, seed=1, lr=0.1)`` makes a finished run; accuracy=None an unfinished one."""

    def make(job_name, accuracy=0.5, seed=0, reward=0.25, config="", typed=(), stage=".", test=None, **algo):
        folder = tmp_path / "sweep" / job_name
        (folder / "metrics").mkdir(parents=True)
        (folder / "metrics" / "metrics.csv").write_text(ROWS.format(reward=reward))
        lines = "".join(f"  {key}: {value}\n" for key, value in {"name": "igpo", **algo}.items())
        lines += f"  module: {{seed: {seed}, copy: {algo.get('lr')}}}\n"
        own = f"output_dir: {folder}\nmodel: {{path: {folder}/sft/model}}\n"
        own += f"callbacks: {{every: {len(job_name)}}}\n"
        (folder / "config.yaml").write_text(f"seed: {seed}\nalgo:\n{lines}{own}{config}")
        if accuracy is not None:
            after = {
                "accuracy_before": {"value": 0.1, "n": 10},
                "accuracy_after": {"value": accuracy, "n": 10},
            }
            if accuracy == "none":
                after = {}
            if test is not None:
                after["test"] = {"value": test, "n": 10}
            stages = [{"name": "igpo", "folder": stage, "completions": 64, **after}]
            (folder / "summary.json").write_text(json.dumps({"stages": stages, "seconds": 30.0}))
        if typed:
            Record(tuple(typed), "done").write(folder)
        return folder

    return make


def read(tmp_path, **options):
    return read_sweep(tmp_path / "sweep", **options)


def means(result, name="accuracy"):
    return {group.label: group.figures[name] for group in result.groups}


def test_mean_and_standard_error_over_seeds(job, tmp_path):
    for seed, accuracy in enumerate([0.1, 0.2, 0.6]):
        job(f"low{seed}", accuracy, seed, lr=0.001)
    job("high", 0.4, 0, lr=0.01)
    result = read(tmp_path)
    assert result.keys == ("algo.lr",)
    low, high = means(result).values()
    # mean .3; deviations -.2, -.1, .3: variance .14/2; error sqrt(.07/3)
    assert (low.mean, low.error, low.n) == (pytest.approx(0.3), pytest.approx(math.sqrt(0.07 / 3)), 3)
    assert (high.mean, high.n) == (pytest.approx(0.4), 1) and math.isnan(high.error)
    assert result.best is None  # one job says nothing of the noise
    assert result.notes == ()


def test_settings_are_told_once_and_a_runs_own_places_do_not_count(job, tmp_path):
    job("a", seed=0, lr=0.1)
    job("bb", seed=1, lr=0.1)
    assert read(tmp_path).keys == ()  # output_dir, model.path, callbacks and module.seed differ
    assert [len(group.jobs) for group in read(tmp_path).groups] == [2]
    assert read(tmp_path).best is None


def test_a_choice_of_algorithm_is_one_key(job, tmp_path):
    job("a", name="igpo", hints="[0.2, 0.6]", fraction=0.2)
    job("b", name="grpo")
    job("c", name="grpo", seed=1)
    assert read(tmp_path).keys == ("algo.name",)
    assert list(means(read(tmp_path))) == ["algo grpo", "algo igpo"]
    job("d", name="igpo", hints="[0.2, 0.6]", fraction=0.5)
    assert read(tmp_path).keys == ("algo.name", "algo.fraction")


def test_what_was_typed_names_the_key(job, tmp_path):
    for seed in (0, 1):
        for value in (1, 2):
            name = f"{value}{seed}"
            job(name, seed=seed, aa=value, zz=f"x{value}", typed=[f"algo.zz=x{value}", f"seed={seed}"])
    assert read(tmp_path).keys == ("algo.zz",)


def test_a_seed_elsewhere_is_the_seed_but_another_value_is_not(job, tmp_path):
    job("a", seed=0, config="data: {seed: 0}\n")
    job("b", seed=1)
    assert read(tmp_path).keys == ()
    job("c", seed=2, config="data: {seed: 5}\n")
    assert read(tmp_path).keys == ("data.seed",)


def test_pooling_says_so(job, tmp_path):
    for i, (kl, lr) in enumerate([(0, 1), (0, 2), (1, 1), (1, 2)]):
        job(f"j{i}", accuracy=0.1 * i, kl=kl, lr=lr)
    result = read(tmp_path, by=["algo.kl"])
    assert [(g.values, len(g.jobs)) for g in result.groups] == [({"algo.kl": 0}, 2), ({"algo.kl": 1}, 2)]
    assert result.notes == ("means and errors are over these too, not only over seeds: algo.lr",)
    assert read(tmp_path, by=["algo"]).groups[0].values == {"algo": "igpo"}


def test_the_same_job_twice_is_noted(job, tmp_path):
    job("a", seed=3)
    job("b", seed=3)
    assert "repeat the settings and the seed of another: 1" in read(tmp_path).notes[0]


def test_unfinished_and_failed_jobs_are_listed_not_counted(job, tmp_path):
    job("good", 0.5, seed=0)
    Record(("seed=1",), "failed", error="a bug").write(job("bad", None, seed=1))
    job("cut", None, seed=2)
    empty = tmp_path / "sweep" / "nothing"
    empty.mkdir()
    Record(("seed=3",), "running").write(empty)
    result = read(tmp_path)
    assert [(j.name, j.state) for j in result.missing] == [
        ("bad", "failed"), ("cut", "unfinished"), ("nothing", "unfinished"),
    ]  # fmt: skip
    assert len(result.groups[0].jobs) == 1
    text = write_sweep(result)
    assert "3 of 4 jobs are not finished" in text
    assert "* bad: failed: a bug" in text
    assert "<td>bad</td><td>failed</td><td>a bug</td>" in (tmp_path / "sweep" / "sweep.html").read_text()


def test_a_broken_file_costs_its_job_only(job, tmp_path):
    job("a")
    (job("b") / "summary.json").write_text("{")
    assert [(j.name, "summary.json" in j.error) for j in read(tmp_path).missing] == [("b", True)]


@pytest.mark.parametrize("content", ["", "[1]", "a: {", "word"])
def test_a_job_whose_config_is_none_is_not_done(job, tmp_path, content):
    job("a")
    folder = job("b")
    (folder / "config.yaml").write_text(content)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("seed: ${..source.seed}\n")  # as it was composed
    [missing] = read(tmp_path).missing
    assert (missing.name, missing.state, missing.settings) == ("b", "unfinished", {})
    assert "b/config.yaml: not " in missing.error and len(read(tmp_path).jobs) == 2


def test_a_table_of_metrics_that_is_cut_in_its_header_costs_its_job_only(job, tmp_path):
    job("a")
    (job("b") / "metrics" / "metrics.csv").write_text("epoch,rollout/rew")
    [missing] = read(tmp_path).missing
    assert missing.name == "b" and "metrics.csv:1: there is no column 'step'" in missing.error


def test_a_finished_job_that_kept_no_metrics_counts_by_its_summary(job, tmp_path, capsys):
    for seed, name in enumerate("abc"):
        (job(name, 0.25 + 0.25 * seed, seed=seed) / "metrics" / "metrics.csv").unlink()
    assert read(tmp_path).missing == () and means(read(tmp_path))["all"].mean == 0.5
    assert collect.main([str(tmp_path / "sweep")]) == 0
    assert "not finished" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"b: the run kept no metrics \(logger=csv does\)"):
        write_report(tmp_path / "sweep" / "b")


def test_a_folder_is_collected_once_by_whatever_names_it_is_given(job, tmp_path, monkeypatch):
    job("a", lr=1)
    job("inner/b", lr=2)
    monkeypatch.chdir(tmp_path)
    others = ["sweep", tmp_path / "sweep" / "inner", "sweep/inner/b", "."]
    assert [j.name for j in read(tmp_path, others=others).jobs] == ["a", "inner/b"]
    assert [j.name for j in read_sweep("sweep/a", others=["sweep", "sweep"]).jobs] == ["a", "../inner/b"]


def test_stages_are_not_jobs(job, tmp_path):
    job("a")
    job("a/sft")
    assert [j.name for j in read(tmp_path).jobs] == ["a"]


def test_the_best_is_chosen_on_validation_problems_never_on_the_test_set(job, tmp_path):
    for seed, more in enumerate((0, 0.01)):
        job(f"a{seed}", accuracy=0.6 + more, test=0.3, lr=1, seed=seed)
        job(f"b{seed}", accuracy=0.5 + more, test=0.9, lr=2, seed=seed)
    assert read(tmp_path).metric == "accuracy" and read(tmp_path).best.values == {"algo.lr": 1}
    by_test = read(tmp_path, metric_name="test")
    assert by_test.best is None and "no best is marked: test is for reporting" in by_test.notes[-1]
    assert [figure.mean for figure in means(read(tmp_path), "test").values()] == [0.3, 0.9]
    assert "| best |" in table(read(tmp_path)) and "| best |" not in table(by_test)


def test_without_validation_the_reward_chooses_and_says_so(job, tmp_path):
    for seed in (0, 1):
        job(f"a{seed}", accuracy="none", test=0.9, reward=0.1, lr=1, seed=seed)
        job(f"b{seed}", accuracy="none", test=0.2, reward=0.3, lr=2, seed=seed)
    result = read(tmp_path)
    assert result.metric == "reward" and result.best.values == {"algo.lr": 2}
    assert result.notes[-1] == "compared by the reward: no validation accuracy was measured (data.val_size=0)"


def test_where_all_are_equal_none_is_best(job, tmp_path):
    job("a", lr=1)
    job("b", lr=2)
    assert len(read(tmp_path).groups) == 2
    assert read(tmp_path).best is None


def test_best_is_said_only_outside_the_noise(job, tmp_path):
    for seed, more in enumerate((-0.02, 0.0, 0.02)):
        job(f"a{seed}", accuracy=0.50 + more, lr=1, seed=seed)
        job(f"b{seed}", accuracy=0.53 + more, lr=2, seed=seed)
        job(f"c{seed}", accuracy=0.40 + more, lr=3, seed=seed)
    result = read(tmp_path)
    assert [group.values["algo.lr"] for group in result.ranked] == [2, 1, 3]
    # errors .02/√3 = .01155; of a difference .01633, of 4 degrees of freedom: ± 2.776 · .01633 = .0453
    (first, _), (second, third) = (
        [group.figures["accuracy"] for group in pair] for pair in (result.ranked[:2], result.ranked[1:])
    )
    assert difference(first, second) == (pytest.approx(-0.0153, abs=1e-4), pytest.approx(0.0753, abs=1e-4))
    assert apart(second, third) and not apart(first, second) and result.best is None
    assert verdict(result).startswith("No best by validation accuracy: the first two are within the noise")
    job("b3", accuracy=0.53, lr=2, seed=3)
    for seed, more in enumerate((-0.02, 0.0, 0.02)):
        job(f"d{seed}", accuracy=0.60 + more, lr=4, seed=seed)
    assert read(tmp_path).best.values == {"algo.lr": 4}
    assert verdict(read(tmp_path)).startswith("Best by validation accuracy: lr 4 has 60.0% ± 1.2, lr 2 53.0%")
    assert [student(n) for n in (1, 2.9, 10.5)] == [12.706, 4.303, 2.228]
    assert student(20) == pytest.approx(2.086, abs=2e-3) and student(1e6) == pytest.approx(1.96, abs=1e-3)


def test_runs_of_several_folders_stand_on_one_page(job, tmp_path):
    job("a", lr=1)
    (tmp_path / "sweep").rename(tmp_path / "other")
    job("a", lr=2)
    result = read(tmp_path, others=[tmp_path / "other"])
    assert [j.name for j in result.jobs] == ["a", "../other/a"]
    assert [group.values for group in result.groups] == [{"algo.lr": 1}, {"algo.lr": 2}]
    assert result.differences == [("algo.lr", ["1", "2"]), ("algo.module.copy", ["1", "2"])]


def test_the_curves_of_a_group_are_means_with_their_error(job, tmp_path):
    for seed, reward in enumerate((0.1, 0.3)):
        job(f"a{seed}", reward=reward, seed=seed)
    runs = [one.run.rollouts for one in read(tmp_path).jobs]
    (chart,) = [chart for chart in mean_curves({"all": runs}) if chart["title"] == "Reward: the model alone"]
    (curve,) = chart["curves"]
    assert (curve["label"], curve["update"], curve["rollout"], curve["y"]) == ("all (n = 2)", [2], [1], [0.2])
    assert (curve["low"], curve["high"]) == ([0.1], [0.3])  # deviations ± .1: variance .02, error .1


def test_metrics(job, tmp_path):
    job("a", 0.5, reward=0.2, lr=1)
    job("b", 0.4, reward=0.3, lr=2)
    assert read(tmp_path, metric_name="reward").ranked[0].values == {"algo.lr": 2}
    assert read(tmp_path).groups[0].figures["reward"].mean == 0.2  # of the model alone, not after hints
    by_kl = read(tmp_path, metric_name="train/kl")
    assert next(iter(by_kl.figures)) == "train/kl"
    assert by_kl.groups[0].figures["train/kl"].mean == 0.01
    assert not by_kl.figures["train/kl"].higher_is_better
    with pytest.raises(
        ConfigError, match=r"metric=train/kll: was not logged by any job; did you mean train/kl\?"
    ):
        read(tmp_path, metric_name="train/kll")
    with pytest.raises(ConfigError, match=r"by=lr: no job has this key; did you mean algo\.lr\?"):
        read(tmp_path, by=["lr"])


def test_groups_stand_in_the_order_of_their_values(job, tmp_path):
    for i, ratio in enumerate(["[0.4, 0.6]", "[0.05, 0.1]", "[0.2, 0.4]"]):
        job(f"j{i}", ratio=ratio)
    assert [group.values["algo.ratio"] for group in read(tmp_path).groups] == [
        (0.05, 0.1),
        (0.2, 0.4),
        (0.4, 0.6),
    ]


def test_values_as_text():
    assert [show(v) for v in ((0.2, 0.4), 1e-4, True, None, "x", 3)] == [
        "[0.2,0.4]",
        "0.0001",
        "true",
        "null",
        "x",
        "3",
    ]
    assert show("/a/long/way/to/runs/sft0/model") == "…/sft0/model"
    assert show("one\ntwo\tthree\x1b[2J é") == "one\\ntwo\\tthree\\x1b[2J é"
    long = f"Begin. {'word ' * 50}The end."
    assert len(show(long)) == 80 and re.fullmatch(r"Begin\..*…[wor].*The end\.", show(long))
    assert show(long, None) == long and show((long, 1), 9) == f"[{show(long, 9)},1]"
    assert (short("algo.name"), short("algo.logprobs._target_"), short("seed")) == (
        "algo",
        "logprobs",
        "seed",
    )
    assert [is_interval(v) for v in ((0, 1), (1, 0), (1,), ("a", "b"), 1)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert amount(Figure(0.414, 0.0125, 3), FIGURES["accuracy"]) == "41.4% ± 1.2"
    assert amount(Figure(0.414, math.nan, 1), FIGURES["reward"]) == "0.414"
    assert amount(Figure(12345.6, 210.0, 2), FIGURES["completions"]) == "12,346 ± 210"


def test_files(job, tmp_path):
    for seed in (0, 1):
        job(f"a{seed}", 0.5 + 0.1 * seed, seed, ratio="[0.2, 0.4]")
    job("b0", 0.3, 0, ratio="[0.4, 0.6]")
    result = read(tmp_path)
    write_sweep(result)
    folder = tmp_path / "sweep"
    assert all((folder / name).stat().st_size > 100 for name in FILES)
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "sweep.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["algo.ratio"], first["jobs"], float(first["accuracy"])) == ("[0.2,0.4]", "2", 0.55)
    assert float(first["accuracy_se"]) == pytest.approx(0.05)
    assert (second["accuracy_se"], second["accuracy_n"]) == ("", "1")
    with (folder / "sweep_jobs.csv").open() as file:
        assert [(row["job"], row["seed"], row["state"]) for row in csv.DictReader(file)] == [
            ("a0", "0", "done"), ("a1", "1", "done"), ("b0", "0", "done"),
        ]  # fmt: skip
    line = table(result).splitlines()[2]
    assert re.match(r"\| \[0.2,0.4\] \| 2    \| 55.0% ± 5.0 ", line)
    page = (folder / "sweep.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)  # no reports beside these jobs: nothing to link
    (folder / "b0" / "report.html").touch()
    write_sweep(result)
    assert 'href="b0/report.html"' in (folder / "sweep.html").read_text()


@pytest.mark.parametrize(
    "jobs",
    [
        [{}],
        [{"accuracy": None}],
        [{"lr": 0.1}, {"lr": 10}, {"lr": 1, "seed": 1}],
        [{"name": name, "kl": kl, "seed": seed} for name in "ab" for kl in ("x", "y") for seed in (0, 1)],
        [{"name": f"n{i}", "kl": f"k{i % 5}", "lr": i % 3} for i in range(45)],
        [{"lr": 1}, {"lr": "null"}, {"name": "other"}],
    ],
    ids=["one", "none finished", "numbers", "words", "many", "mixed"],
)
def test_every_shape_of_sweep_gives_its_files(job, tmp_path, capsys, jobs):
    for i, settings in enumerate(jobs):
        job(f"j{i}", **settings)
    assert collect.main([str(tmp_path / "sweep")]) == 0
    assert (tmp_path / "sweep" / "sweep.html").is_file()
    assert (tmp_path / "sweep" / "sweep.png").exists() is (jobs != [{"accuracy": None}])
    assert "sweep.csv" in capsys.readouterr().out


def test_a_setting_of_several_lines_is_one_row_of_its_table(job, tmp_path):
    texts = ["Think | step by step.\nThen answer.\r\n", "Answer.", f"{'a long question ' * 20}|"]
    for i, text in enumerate(texts):
        job(f"j{i}", prompt=json.dumps(text))
    result = read(tmp_path)
    write_sweep(result)
    head, _, *rows = table(result).splitlines()
    assert len(rows) == 3 and len({len(row) for row in (head, *rows)}) == 1 and len(head) < 250
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in (head, *rows)}) == 1
    assert any(r"Think \| step by step.\nThen answer.\r\n" in row for row in rows)
    with (tmp_path / "sweep" / "sweep.csv").open() as file:  # a program reads all of it
        assert texts[2] in [row["algo.prompt"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(("names", "length"), [(5, 25), (12, 54), (4, 4), (3, 90), (2, 24)])
def test_names_at_the_foot_of_a_picture_do_not_overlap(job, tmp_path, monkeypatch, names, length):
    figures = []

    @contextmanager
    def keeping(*args):
        with drawn(*args) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr("igpo_lightning.reporting.sweep_picture.drawn", keeping)
    for i in range(names):
        job(f"j{i}", prompt=("Problems_in_" * 9)[: length - 2] + f"{i:02d}")
    sweep_picture(read(tmp_path), tmp_path / "sweep.png")
    (ax,) = figures[0].axes
    labels = ax.get_xticklabels()
    assert len({label.get_text() for label in labels}) == names
    assert max(len(label.get_text()) for label in labels) == min(length, 30)
    boxes = [label.get_window_extent() for label in labels]
    level = all(label.get_rotation() == 0 for label in labels)
    assert not level or all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert level == (names * length < 50)
    assert ax.get_window_extent().height > figures[0].bbox.height / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "nowhere: no such folder"), (["."], ".: no runs in it"),
     ([".", "metrik=x"], "metrik=x: expected by=KEY[,KEY] or metric=NAME or with=FOLDER[,FOLDER]")],
)  # fmt: skip
def test_wrong_arguments_get_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^2$"):
        collect.main(arguments)
    assert capsys.readouterr().err == f"error: {message}\n"
