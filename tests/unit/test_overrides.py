from __future__ import annotations

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import MAX_VARIANTS, check_command_line
from igpo_lightning.cli.tree import ConfigTree, OwnFolder


def refusal(conf_tree, *overrides, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        check_command_line(conf_tree, "train", overrides, **options)
    return str(caught.value)


def test_good_overrides_compose(conf_tree):
    cfg = check_command_line(
        conf_tree, "train", ["algo=grpo", "algo.num_generations=4", "algo.kl=0.01", "+new=1"]
    ).cfg
    assert (cfg.algo.num_generations, cfg.algo.kl, cfg.new, cfg.data.size) == (4, 0.01, 1, 4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algo.num_genrations=4", "unknown key 'algo.num_genrations'; did you mean algo.num_generations or"),
        ("num_generations=4", "algo.num_generations"),
        ("algoo=igpo", "unknown key 'algoo'; did you mean algo?"),
        ("sede=1", "unknown key 'sede'; did you mean seed?"),
        ("algo.zzz=4", "unknown key 'algo.zzz'; algo has: num_generations, num_iterations, lr, kl, inpaint"),
        ("~algo.num_genrations", "unknown key 'algo.num_genrations'; did you mean algo.num_generations or"),
        ("hydra.run.dirr=x", "did you mean hydra.run.dir?"),
        ("algo=igpoo", "algo=igpoo: no such option; did you mean igpo or grpo?; algo is one of: grpo, igpo"),
        ("experiment=zzz", "experiment=zzz: no such option; experiment is one of: broken, seeds"),
        ("algo.num_generations=abc", "algo.num_generations=abc: expected a number (the default is 8)"),
        ("algo.num_generations=true", "expected a number"),
        ("algo.lr=[1]", "algo.lr=[1]: expected a number (the default is 0.001)"),
        ("verbose=7", "verbose=7: expected true or false"),
        ("data.levels=x", "data.levels=x: expected a list"),
        ("algo.inpaint=x", "algo.inpaint=x: expected settings of its own"),
        ("seed=[1", "seed=[1: "),
        ("seed", "seed: "),
        ("algo.num_generations=1", "algo.num_generations=1: advantages are relative"),
        ("algo.inpaint.ratio=[0.9,0.1]", "did you mean [0.1,0.9]?"),
        ("experiment=broken", "algo.num_generations=1: advantages"),
        ("data=jsonl", "data.path has no default: give data.path=…"),
        ("data=dangling", "data.size=${algo.nothing}: Interpolation key 'algo.nothing' not found"),
        ("seed=1,2", "seed=1,2: several values are a sweep: add -m"),
        ("hydra/launcher=nope", "hydra/launcher=nope: no such option; hydra/launcher is one of:"),
    ],
)
def test_a_wrong_override_gets_one_line(conf_tree, override, message):
    said = refusal(conf_tree, override)
    assert message in said
    assert "\n" not in said


def test_a_group_that_is_left_out_may_come_back_as_a_node(conf_tree):
    line = check_command_line(conf_tree, "train", ["~data", "+data={size: 3}"])
    assert line.cfg.data == {"size": 3}
    with pytest.raises(ConfigError, match="~data: choose one"):
        check_command_line(conf_tree, "train", ["~data"])


def test_a_key_of_another_option_says_which(conf_tree):
    assert refusal(conf_tree, "algo=grpo", "algo.inpaint.ratio=0.5") == (
        "unknown key 'algo.inpaint.ratio' with algo=grpo; it exists with algo=igpo"
    )


@pytest.mark.parametrize(
    "override",
    ["algo.num_generations=null", "algo.kl=word", "algo.lr=1", "algo.num_generations=${algo.num_iterations}",
     "name=5", "algo.inpaint.ratio=0.5", "data.size=3", "~verbose"],
)  # fmt: skip
def test_values_of_a_fitting_type_pass(conf_tree, override):
    check_command_line(conf_tree, "train", [override])


def test_every_choice_of_a_sweep_is_checked(conf_tree):
    check_command_line(conf_tree, "train", ["algo=igpo,grpo", "seed=range(0,5)"], multirun=True)
    assert "algo=igop: no such option" in refusal(conf_tree, "seed=1,2", "algo=igpo,igop", multirun=True)
    assert "algo.num_generations=1:" in refusal(conf_tree, "algo.num_generations=4,2,1", multirun=True)
    refused = refusal(conf_tree, "algo.num_generations=4,x", multirun=True)
    assert "algo.num_generations=x: expected a number" in refused
    refused = refusal(conf_tree, "algo.num_generations=interval(1,8)", multirun=True)
    assert "algo.num_generations=1:" in refused
    assert "algo=glob(x*): matches no option" in refusal(conf_tree, "algo=glob(x*)", multirun=True)


def test_a_sweep_that_the_config_asks_for_is_checked(conf_tree):
    assert "algo.num_iterations=0" in refusal(conf_tree, "experiment=seeds")
    check_command_line(conf_tree, "train", ["experiment=seeds", "algo.num_iterations=1,2"])


def test_a_large_sweep_is_checked_in_bounded_time(conf_tree, monkeypatch):
    checked = []
    original = ConfigTree.check
    monkeypatch.setattr(ConfigTree, "check", lambda *args: checked.append(1) or original(*args))
    check_command_line(
        conf_tree, "train", [f"{k}=range(2,5000)" for k in ("seed", "data.size")], multirun=True
    )
    assert len(checked) == MAX_VARIANTS


def test_a_second_folder_is_searched_first(conf_tree, tmp_path, monkeypatch):
    own = tmp_path / "own" / "data"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("rows: 3\n")
    searched = f"hydra.searchpath=[file://{tmp_path}/own]"
    assert check_command_line(conf_tree, "train", [searched, "data=mine"]).cfg.data.rows == 3
    (own / "toy.yaml").write_text("rows: 4\n")
    monkeypatch.setattr(OwnFolder, "folder", tmp_path / "own")
    assert check_command_line(conf_tree, "train", ["data=mine"]).cfg.data == {"rows": 3}
    assert check_command_line(conf_tree, "train", []).cfg.data == {"rows": 4}


@pytest.fixture
def two_stages(conf_tree):
    """The small tree, whose algorithms come after a stage of ``grpo``."""
    with (conf_tree / "train.yaml").open("a") as file:
        file.write("warm_start: []\nmodel: {path: null}\n")
    with (conf_tree / "algo" / "igpo.yaml").open("a") as file:
        file.write("warm_start: grpo\n")
    return conf_tree


@pytest.mark.parametrize(("text", "whose"), [
    ("name=large", "name is the run's"), ("+data.more=2", "data.more is the run's"),
    ("data=jsonl", "data is the run's"), ("~verbose", "verbose is the run's"),
    ("hydra.job.name=x", "hydra.job.name is the run's"), ("algo=igpo", "algo.warm_start chooses it"),
])  # fmt: skip
def test_of_the_first_stage_nothing_but_its_algorithm_is_set(two_stages, text, whose):
    said = refusal(two_stages, f'warm_start=["algo.lr=3","{text}"]')
    assert said == f"warm_start: {text}: only algo.* of the first stage can be set here; {whose}"
    check_command_line(two_stages, "train", ['warm_start=["algo.lr=3","~algo.num_iterations"]'])


@pytest.mark.parametrize(("override", "message"), [
    ("warm_start=[],[\"algo.num_generations=4\"],[\"seed=9\"]", "warm_start: seed=9: only algo.*"),
    ("algo.warm_start=grpo,grop", "algo.warm_start=grop: no such option; did you mean grpo"),
])  # fmt: skip
def test_the_first_stage_of_every_job_is_checked(two_stages, override, message):
    assert refusal(two_stages, override, multirun=True).startswith(message)


def test_a_first_stage_that_does_not_exist_is_refused_with_those_that_do(two_stages):
    said = refusal(two_stages, "algo.warm_start=ppo")
    assert said.startswith("algo.warm_start=ppo: no such option; ") and said.endswith("one of: grpo, igpo")
    (two_stages.parent / "config.json").touch()
    check_command_line(two_stages, "train", ["algo.warm_start=ppo", f"model.path={two_stages.parent}"])


@pytest.mark.parametrize(("group", "first", "refused"), [
    ("experiment", "", True), ("experiment", "# @package experiment\n", True), ("sweep", "", True),
    ("sweep", "# Mine.\n# @package _global_\n", True),  # Hydra reads it in the first line only
    ("experiment", "# @package _global_\n", False), ("sweep", "# @package _global_\n# Mine.\n", False),
])  # fmt: skip
def test_a_file_whose_keys_nothing_would_read_is_refused_with_the_line_that_it_lacks(
    conf_tree, tmp_path, monkeypatch, group, first, refused
):
    with (conf_tree / "train.yaml").open("r+") as file:
        text = file.read().replace("  - experiment", "  - sweep: null\n  - experiment")
        file.seek(0)
        file.write(text)
    own = tmp_path / "own" / group / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"{first}seed: 4\nalgo: {{kl: 2}}\n")
    monkeypatch.setattr(OwnFolder, "folder", tmp_path / "own")
    if refused:
        said = refusal(conf_tree, f"{group}=mine")
        assert said == (
            f"{own}: its keys would stand below {group}, where nothing reads them; "
            "its first line has to be: # @package _global_"
        )
    else:
        assert check_command_line(conf_tree, "train", [f"{group}=mine"]).cfg.seed == 4


def test_a_key_below_a_group_of_whole_configs_is_unknown(conf_tree):
    assert "unknown key 'experiment.note'" in refusal(conf_tree, "+experiment.note=1")
