import logging
import subprocess
import sys

import pytest

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


def test_lines_can_be_written_without_anything_heavy():
    code = "import sys, igpo_lightning.console; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
