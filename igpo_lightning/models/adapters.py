"""LoRA adapters by peft: one that is trained, on top of any number that were trained before.

An adapter folder names the model it was trained on, which may be an adapter folder again (RL on top of
SFT). Earlier adapters are frozen, and part of the reference. They are not added to bfloat16 weights:
next to a weight of 0.02 that format has steps of 1e-4, and an update smaller than half of that, as the
small learning rates of RL make them, would be lost altogether.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..checks import ConfigError
from .adapter_files import CONFIG, read_adapter, read_adapter_config
from .family import Family
from .weight_files import INDEX, WHOLE

TRAINED = "default"  # peft writes the adapter of this name into the folder itself


def chain(path: str) -> tuple[str, list[str]]:
    """The whole model at the bottom of ``path``, and the adapter folders on top of it, lowest first.

    Raises:
        ConfigError: An adapter is of a kind that is not supported, does not say what it belongs to, lies
            beside a whole model, or the adapters go round in a circle.
    """
    folders: list[str] = []
    while (Path(path) / CONFIG).is_file():
        if path in folders:
            raise ConfigError(f"model.path: the adapter in {path!r} is its own base model")
        folders.insert(0, path)
        if whole := [name for name in (WHOLE, INDEX) if (Path(path) / name).is_file()]:
            raise ConfigError(
                f"model.path: {path!r} holds two sets of weights, an adapter and a whole model ({whole[0]}): "
                "which one is meant can't be told; move one of them away"
            )
        base = read_adapter_config(path).base_model_name_or_path
        if not base:
            raise ConfigError(
                f"model.path: the adapter in {path!r} does not say which base model it belongs to"
            )
        path = base
    return path, folders


def apply_frozen(model: PreTrainedModel, folders: Sequence[str], family: Family | None = None) -> Any:
    """``model`` with earlier adapters: added to float32 weights, else beside the weights and frozen.

    Args:
        family: The published layout of the model, whose names the adapters may have.

    Raises:
        ConfigError: An adapter does not fit the model.
    """
    names = [f"frozen_{i}" for i in range(len(folders))]
    exact = model.dtype == torch.float32 and not getattr(model, "is_quantized", False)
    adapted: Any = model
    for name, folder in zip(names, folders, strict=True):
        saved = read_adapter(folder, model, family)
        adapted = inject(adapted, saved.config, name)
        saved.load(adapted, name)
    _activate(adapted, names)
    # peft has frozen what it was put on.
    return adapted.merge_and_unload(adapter_names=names).requires_grad_(True) if exact else adapted


def inject(model: nn.Module, config: LoraConfig, name: str) -> PeftModel:
    """``model`` with the layers of one more adapter, whose weights are yet to be loaded."""
    if not isinstance(model, PeftModel):
        return get_peft_model(model, config, adapter_name=name)
    model.add_adapter(name, config)
    return model


def add_lora(
    model: nn.Module, *, rank: int, alpha: float, targets: Sequence[str], dropout: float = 0.0
) -> PeftModel:
    """Wrap ``model`` with a new LoRA adapter on every linear layer named in ``targets``.

    Raises:
        ConfigError: A target matches no linear layer; the message lists the names there are.
    """
    network = model.get_base_model() if isinstance(model, PeftModel) else model
    linear = [name for name, m in network.named_modules() if isinstance(m, (nn.Linear, LoraLayer))]
    names = {name.rsplit(".", 1)[-1] for name in linear if ".lora_" not in name}
    names.discard("base_layer")
    missing = [target for target in targets if target not in names]
    if missing or not targets:
        raise ConfigError(f"model.lora.targets: {missing} match no linear layer; there are {sorted(names)}")
    scale: Any = alpha  # peft declares an int, and takes any number
    config = LoraConfig(
        r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    if not isinstance(model, PeftModel):
        return inject(model, config, TRAINED)
    model = inject(model, config, TRAINED)
    model.set_adapter(TRAINED)
    _activate(model, [*frozen(model), TRAINED])
    return model


def frozen(model: PeftModel) -> list[str]:
    """Names of the adapters that are not trained."""
    return [name for name in model.peft_config if name != TRAINED]


def is_trained(model: PeftModel) -> bool:
    """True if there is an adapter that is trained, and not only earlier ones."""
    return TRAINED in model.peft_config


@contextmanager
def without_trained(model: PeftModel) -> Iterator[None]:
    """Within this context ``model`` is what training started from."""
    try:
        _activate(model, frozen(model))
        yield
    finally:
        _activate(model, list(model.peft_config))


def merged_state(model: PeftModel) -> dict[str, Tensor]:
    """The network's tensors with all adapters added, in the network's dtype; ``model`` stays as it is.

    Sums are taken in float32, but what a lower dtype can't hold is rounded away.
    """
    network = model.get_base_model()
    modules: Any = network.named_modules()
    layers = {name: layer for name, layer in modules if isinstance(layer, LoraLayer)}
    state = {}
    for name, tensor in network.state_dict().items():
        if ".lora_" in name:
            continue
        owner, adapted, rest = name.partition(".base_layer.")
        if adapted and rest == "weight":
            layer: Any = layers[owner]
            whole = tensor.float()
            for adapter in layer.lora_A:
                whole = whole + layer.get_delta_weight(adapter).float()
            tensor = whole.to("cpu", tensor.dtype)
        state[f"{owner}.{rest}" if adapted else name] = tensor
    return state


def save(
    model: PeftModel, folder: str | Path, base: str, state_dict: Mapping[str, Tensor] | None = None
) -> None:
    """Write the trained adapter as a folder that says it belongs to ``base``.

    ``state_dict`` is the model's, if it had to be gathered from several processes.
    """
    model.peft_config[TRAINED].base_model_name_or_path = base
    # Embeddings are never trained along; left to itself, peft asks the hub whether they were.
    model.save_pretrained(
        str(folder), selected_adapters=[TRAINED], save_embedding_layers=False, state_dict=state_dict
    )


def _activate(model: Any, names: Sequence[str]) -> None:
    """Compute with these adapters; of them, only the trained one takes gradients."""
    model.base_model.set_adapter(list(names), inference_mode=True)
    for name, parameter in model.named_parameters():
        if f".{TRAINED}." in name:
            parameter.requires_grad_(TRAINED in names)
