"""The tokenizer that lengths are counted with: that of the model to be trained."""

from __future__ import annotations

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError
from igpo_lightning.models.loading import FAMILIES
from igpo_lightning.models.published import read_config


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id, the one that fine-tuning will use; no code of it is run.

    Raises:
        ConfigError: There is none.
    """
    family = FAMILIES.get(_model_type(path))
    try:
        if family is None:
            return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        # Published as code of its own: the stock kind, and not the config, which would ask for that code.
        return AutoTokenizer.from_pretrained(
            path, config=PreTrainedConfig(), tokenizer_type=family.tokenizer_type, trust_remote_code=False
        )
    except (OSError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"tokenizer={path}: cannot load it; give the folder or hub id of the model that will be trained "
            f"({said})"
        ) from error


def _model_type(path: str) -> str | None:
    try:
        return read_config(path).get("model_type")
    except (OSError, ValueError, TypeError):
        return None  # a folder with a tokenizer only
