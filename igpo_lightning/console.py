"""What the libraries may say on the console."""

from __future__ import annotations

import logging
import os
import warnings

import torch
import transformers

_NOISE = (
    ".*in eval mode at the start of training.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*does not have many workers.*",
    ".*gradient_checkpointing.* is deprecated.*",  # its new name came with transformers 5.20
    "Total length of .* across ranks is zero.*",  # an evaluation that is done already
)


def quieten() -> None:
    """Leave the console to the progress line: libraries speak up for warnings only."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "transformers", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or it warns that it found nothing else
    transformers.utils.logging.disable_progress_bar()
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
