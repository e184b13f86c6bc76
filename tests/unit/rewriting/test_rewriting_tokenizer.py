import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting.judge import load_tokenizer


def test_a_folder_with_nothing_but_a_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path))("a\\boxed{7}")["input_ids"] == tokenizer("a\\boxed{7}")["input_ids"]


def test_a_tokenizer_that_is_published_as_code(real_data):
    loaded = load_tokenizer(str(real_data("dream")))
    assert loaded.is_fast and loaded.mask_token == "<|mask|>"
    assert loaded.decode(loaded("So \\boxed{7}")["input_ids"]) == "So \\boxed{7}"


def test_none_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer=/nowhere: cannot load it; give the folder or hub id"):
        load_tokenizer("/nowhere")
    with pytest.raises(ConfigError, match="cannot load it"):
        load_tokenizer(str(tmp_path))
