import logging
import subprocess
import sys
import warnings

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.demos.boring_classes import BoringModel

from igpo_lightning.console import quieten


@pytest.fixture
def levels():
    loggers = [logging.getLogger(name) for name in (None, "lightning.pytorch", "transformers")]
    before = [logger.level for logger in loggers]
    yield loggers[0]
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def test_libraries_speak_up_for_warnings_only(levels):
    levels.setLevel(logging.INFO)  # as Hydra sets it
    quieten()
    for name in ("datasets", "torch.distributed", "lightning.pytorch.utilities", "httpx"):
        logger = logging.getLogger(name)
        assert logger.isEnabledFor(logging.WARNING) and not logger.isEnabledFor(logging.INFO)


def test_who_asks_for_more_gets_it(levels):
    levels.setLevel(logging.DEBUG)  # hydra.verbose=true
    quieten()
    assert logging.getLogger("some_library").isEnabledFor(logging.DEBUG)  # it has set no level itself


class Stateful(Callback):
    def state_dict(self):
        return {"a": 1}


@pytest.mark.parametrize("callback", [Timer("00:01:00:00"), Stateful()])
def test_nothing_is_said_of_callbacks_that_a_setting_has_taken_away(tmp_path, callback):
    options = {"accelerator": "cpu", "logger": False, "max_steps": 1, "default_root_dir": tmp_path}
    options |= dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    first = pl.Trainer(**options, callbacks=[callback])
    first.fit(BoringModel())
    first.save_checkpoint(tmp_path / "a.ckpt")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        quieten()
        pl.Trainer(**options).fit(BoringModel(), ckpt_path=tmp_path / "a.ckpt", weights_only=False)
    assert not [str(warning.message) for warning in said if "callbacks" in str(warning.message)]


def test_lines_can_be_written_without_anything_heavy():
    code = "import sys, igpo_lightning.console; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
