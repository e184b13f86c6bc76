"""Folders of runs before Hydra writes into them."""

import pytest

from igpo_lightning.cli.line import check_command_line
from igpo_lightning.config import find_conf
from igpo_lightning.run_folder import BEGUN, before_hydra


@pytest.mark.parametrize("stage", [".", "sft"])
def test_what_hydra_wrote_of_a_run_stays_that_of_its_own_command(tmp_path, stage):
    """A command that is refused, or that goes on with the run, has other overrides."""
    folder = tmp_path / "run"
    typed = [f"output_dir={folder}"]
    cfg = check_command_line(find_conf(), "train", typed).cfg
    assert before_hydra(cfg, typed) == [f"hydra.run.dir='{folder}'"]
    (folder / stage).mkdir(parents=True, exist_ok=True)
    (folder / stage / BEGUN).write_text("{}")
    assert before_hydra(cfg, typed) == [f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]
    assert "hydra.output_subdir=null" not in before_hydra(cfg, [*typed, "hydra.output_subdir=mine"])
