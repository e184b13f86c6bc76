"""``conf/sweep`` and what a sweep adds to the command line. The plugins are stand-ins: only their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.config import find_conf
from igpo_lightning.sweeping import DryRun, Sweep, machine, register

PLUGINS = {
    "launcher": {
        "joblib": {"n_jobs": -1, "batch_size": "auto"},
        "submitit_local": {"timeout_min": 60},
        "submitit_slurm": {
            "tasks_per_node": 1, "nodes": 1, "gpus_per_node": None, "cpus_per_task": None, "timeout_min": 60,
            "max_num_timeout": 0, "array_parallelism": 256, "partition": None,
        },
        "ray": {"ray": {"init": {"address": None}, "remote": {}}},
    },
    "sweeper": {
        "optuna": {
            "sampler": {"seed": None, "multivariate": False}, "direction": "minimize", "storage": None,
            "study_name": None, "n_trials": 20, "n_jobs": 2, "max_failure_rate": 0.0, "params": None,
        },
    },
}  # fmt: skip


@pytest.fixture
def plugins(monkeypatch):
    """Stand-ins for all plugins, where the real ones are not installed."""
    Plugins.instance()  # fills the store
    store = ConfigStore.instance()
    for kind, options in PLUGINS.items():
        monkeypatch.setitem(store.repo["hydra"], kind, dict(store.repo["hydra"][kind]))
        for name, keys in options.items():
            store.store(group=f"hydra/{kind}", name=name, node={"_target_": f"hydra_plugins.{name}", **keys})
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "gpus", lambda: ("0", "1", "2", "3"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    register()


def plan(*overrides: str) -> tuple[Sweep, OmegaConf]:
    line = check_command_line(find_conf(), "train", overrides, multirun=True)
    return Sweep.plan(line.cfg, overrides, line.swept), line.cfg


@pytest.mark.parametrize("name", sorted(path.stem for path in (find_conf() / "sweep").glob("*.yaml")))
def test_every_option_composes_and_all_but_basic_imply_a_sweep(plugins, tmp_path, name):
    _, cfg = plan(f"sweep={name}", f"sweep_dir={tmp_path}")
    assert str(cfg.hydra.mode).endswith("MULTIRUN") is (name != "basic")
    assert cfg.hydra.sweep.dir == str(tmp_path)
    assert "sweep.name:" in OmegaConf.to_container(cfg)["hydra"]["sweep"]["subdir"]


def test_local_jobs_share_the_machine(plugins):
    sweep, cfg = plan("sweep=joblib", "seed=0,1,2")
    assert cfg.hydra.launcher.n_jobs == 8
    assert "++hydra.job.env_set.OMP_NUM_THREADS='2'" in sweep.overrides  # eight cores, three jobs
    sweep, cfg = plan("sweep=joblib", "seed=0,1,2,3,4", "hardware=cpu_ddp")
    assert cfg.hydra.launcher.n_jobs == 4
    assert "++hydra.job.env_set.OMP_NUM_THREADS='1'" in sweep.overrides
    assert plan("sweep=submitit_local", "seed=0,1", "hardware=gpu")[1].hydra.sweeper.max_batch_size == 4


def test_threads_that_were_asked_for_are_kept(plugins, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert not any("OMP" in text for text in plan("sweep=joblib", "seed=0,1")[0].overrides)


def test_slurm_starts_a_task_per_device(plugins):
    _, cfg = plan("sweep=slurm", "hardware=zero2", "hardware.devices=4", "hardware.num_nodes=2")
    launcher = cfg.hydra.launcher
    assert (launcher.tasks_per_node, launcher.gpus_per_node, launcher.nodes) == (4, 4, 2)
    _, cfg = plan("sweep=slurm", "hardware=cpu_ddp")
    assert (cfg.hydra.launcher.tasks_per_node, cfg.hydra.launcher.gpus_per_node) == (2, None)


def test_ray_reserves_what_a_job_takes(plugins):
    _, cfg = plan("sweep=ray", "hardware=gpu")
    assert OmegaConf.to_container(cfg.hydra.launcher.ray.remote, resolve=True) == {
        "num_cpus": 1, "num_gpus": 1, "max_calls": 1, "max_retries": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_schedulers_need_a_count_of_devices(plugins, name):
    with pytest.raises(ConfigError, match=rf"hardware.devices=auto: sweep={name} asks for so many per job"):
        plan(f"sweep={name}", "hardware=ddp")


def test_optuna_keeps_its_study_beside_the_jobs(plugins, tmp_path):
    folder = tmp_path / "not yet there"
    sweep, cfg = plan("sweep=optuna", f"sweep_dir='{folder}'")
    assert cfg.hydra.sweeper.storage == f"sqlite:///{folder}/optuna.db"
    assert sweep.folder == folder and folder.is_dir()
    assert cfg.hydra.sweeper.sampler.seed == 0
    (folder / "lr-1_abc").mkdir()
    (folder / "lr-1_abc" / "job.json").touch()
    assert plan("sweep=optuna", f"sweep_dir='{folder}'")[1].hydra.sweeper.sampler.seed == 1


@pytest.mark.parametrize("override", ["evaluate=false", "data.val_size=0"])
def test_optuna_needs_what_it_looks_for(plugins, override):
    wanted = f"{override}: sweep=optuna looks for the best accuracy on validation problems"
    with pytest.raises(ConfigError, match=wanted):
        plan("sweep=optuna", override)


def test_the_folder_and_the_fixed_keys_go_to_every_job():
    sweep, _ = plan("seed=0,1", "algo=igpo", "algo/logprobs=mean_field", 'sweep_dir="it\'s"')
    assert sweep.folder == Path("it's").absolute()
    assert sweep.overrides == (
        f"hydra.sweep.dir='{Path.cwd()}/it\\'s'",
        "hydra.job.config.override_dirname.exclude_keys=['algo','algo/logprobs','sweep_dir']",
    )


def test_swept_keys_and_their_numbers():
    overrides = ["seed=0,1,2", "algo=grpo,igpo", "algo.loss.beta=interval(0,1)", "algo.rollouts=3"]
    line = check_command_line(find_conf(), "train", overrides, multirun=True)
    assert line.swept == {"seed": 3, "algo": 2, "algo.loss.beta": None}


@pytest.mark.parametrize(("overrides", "jobs"), [
    (["seed=range(0,90)", "algo=grpo,igpo"], 180), (["seed=7,7,8"], 2), (["algo=igpo"], 1),
    (["sweep=optuna", "algo=igpo"], None),
])  # fmt: skip
def test_a_sweep_knows_how_many_jobs_it_has_unless_its_sweeper_chooses_them(plugins, overrides, jobs):
    assert plan(*overrides)[0].jobs == jobs


def test_jobs_that_a_sweeper_chooses_have_no_dry_run(plugins):
    line = check_command_line(find_conf(), "train", ["sweep=optuna", "dry_run=true"], multirun=True)
    with pytest.raises(ConfigError, match="dry_run=true: optuna chooses its jobs as it goes"):
        DryRun.check(line.cfg, line.swept)


@pytest.mark.parametrize(
    ("override", "config", "packages"),
    [("sweep=joblib", "hydra/launcher/joblib", "hydra-joblib-launcher 'joblib<1.6'"),
     ("sweep=slurm", "hydra/launcher/submitit_slurm", "hydra-submitit-launcher"),
     ("hydra/launcher=ray", "hydra/launcher/ray", "hydra-ray-launcher"),
     ("sweep=optuna", "hydra/sweeper/optuna", "hydra-optuna-sweeper 'sqlalchemy<2'")],
)  # fmt: skip
def test_a_missing_plugin_is_one_line_with_the_command(monkeypatch, override, config, packages):
    Plugins.instance()
    _, kind, name = config.split("/")
    store = ConfigStore.instance().repo["hydra"]
    monkeypatch.setitem(store, kind, {k: v for k, v in store[kind].items() if k != f"{name}.yaml"})
    with pytest.raises(ConfigError) as caught:
        check_command_line(find_conf(), "train", [override])
    assert str(caught.value).startswith(
        f"{override}: {config} is not installed: pip install {packages} (the extra"
    )
