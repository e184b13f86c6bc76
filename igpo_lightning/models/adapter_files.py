"""LoRA adapters as they lie on disk: checked whole against the network before any of them counts.

peft loads an adapter whose names don't fit, or half of one, with a warning, and then computes as if it
were not there. Here every tensor that the adapter's config promises must be there, in its shape, and no
other. Adapters that were trained on an author's own code carry that code's names; they are translated
as the weights are (:mod:`family`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file
from torch import nn

from ..checks import ConfigError, is_number
from .family import Family
from .weight_files import ADAPTER, Shapes, tensor_shapes

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_PARTS = ("lora_A", "lora_B")
# Settings that are computed with …
_READ = {
    *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    "base_model_name_or_path",
}
# … and those that change nothing in what is computed.
_HARMLESS = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "revision"),
    *("inference_mode", "lora_dropout", "megatron_core", "qalora_group_size", "runtime_config"),
    *("init_lora_weights", "fan_in_fan_out", "eva_config", "loftq_config", "corda_config", "lora_ga_config"),
}
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")  # that leave the base weights as they were


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter that fits a network.

    Attributes:
        file: Its tensors.
        config: For peft, with the full names of the network's layers.
        names: A name in the file → the name of the tensor in a peft model, with ``{adapter}`` in it.
    """

    file: Path
    config: LoraConfig
    names: Mapping[str, str]

    def load(self, model: nn.Module, adapter: str) -> None:
        """Copy the tensors into ``model``, into which ``config`` was injected under the name ``adapter``."""
        parameters = dict(model.named_parameters())
        for name, tensor in load_file(self.file).items():
            parameters[self.names[name].format(adapter=adapter)].data.copy_(tensor)


def read_adapter(folder: str | Path, network: nn.Module, family: Family | None = None) -> SavedAdapter:
    """The LoRA adapter in ``folder``, if ``network`` computes what it was trained to be.

    Args:
        network: The stock ``*ForCausalLM``, possibly with other adapters injected.
        family: The published names of its layers, if it has any of its own.

    Raises:
        ConfigError: It is of another kind, uses something that is not supported, is incomplete, or is of
            another network.
    """
    folder = Path(folder)
    saved = read_adapter_config(folder)
    file = folder / ADAPTER
    if not file.is_file():
        raise ConfigError(
            f"model.path: the adapter in {str(folder)!r} has no {ADAPTER}, which alone is read "
            "(a pickle could run code); download it again, or convert it"
        )
    shapes = tensor_shapes(file)
    layers = {
        name.replace(".base_layer", ""): module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name
    }
    targets = _targets(saved, layers, shapes, family)
    ranks = {name: _setting(saved.rank_pattern, own, saved.r) for name, own in targets.items()}
    alphas = {name: _setting(saved.alpha_pattern, own, saved.lora_alpha) for name, own in targets.items()}
    expected, names = {}, {}
    for name, own in targets.items():
        outer, inner = layers[name].out_features, layers[name].in_features
        for part, shape in (("lora_A", (ranks[name], inner)), ("lora_B", (outer, ranks[name]))):
            key = f"{_PREFIX}{own}.{part}.weight"
            expected[key], names[key] = shape, f"{_PREFIX}{name}.{part}.{{adapter}}.weight"
    _compare(folder, shapes, expected)
    config = LoraConfig(
        r=saved.r,
        lora_alpha=saved.lora_alpha,
        use_rslora=saved.use_rslora,
        target_modules=sorted(targets),
        rank_pattern={name: rank for name, rank in ranks.items() if rank != saved.r},
        alpha_pattern={name: alpha for name, alpha in alphas.items() if alpha != saved.lora_alpha},
        task_type="CAUSAL_LM",
    )
    return SavedAdapter(file, config, names)


def read_adapter_config(folder: str | Path) -> LoraConfig:
    """Settings in adapter_config.json of a LoRA that is computed here as peft computes it.

    Raises:
        ConfigError: Not JSON, another kind of adapter, or a setting that would be left out.
    """
    path = Path(folder) / CONFIG
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        kind = str(raw["peft_type"]).upper()
        config = LoraConfig(**{name: raw[name] for name in _READ if name in raw})
        if not config.target_modules or not is_number(config.lora_alpha):
            raise ValueError("target_modules and lora_alpha are needed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"model.path: {path} is no adapter's config ({error}); download it again") from None
    if kind != "LORA":
        raise ConfigError(f"model.path: {path} says peft_type={raw['peft_type']}; only LORA is supported")
    defaults = {field.name: getattr(config, field.name) for field in fields(config)}
    for name, value in raw.items():
        if name in _READ or name in _HARMLESS or not value or value == defaults.get(name):
            continue
        raise ConfigError(
            f"model.path: {path} says {name}={json.dumps(value)}, which is not supported; merge the adapter "
            "into its base model with peft, and load that"
        )
    start = raw.get("init_lora_weights")
    if start is not None and start not in _PLAIN_STARTS:
        raise ConfigError(
            f"model.path: {path} says init_lora_weights={start}: such an adapter belongs to changed base "
            "weights; convert it to a plain LoRA with peft"
        )
    return config


def _targets(
    config: LoraConfig, layers: Collection[str], tensors: Collection[str], family: Family | None
) -> dict[str, str]:
    """The layers that an adapter is on: the stock network's name → the one that its tensors have."""
    published = {name: _published_name(family, name) for name in layers}
    stock = {name: name for name in layers}
    used = {_layer_of(tensor) for tensor in tensors}
    called = published if len(used & set(published.values())) > len(used & set(stock)) else stock
    return {name: own for name, own in called.items() if check_target_module_exists(config, own)}


def _compare(folder: Path, found: Shapes, expected: Shapes) -> None:
    """Refuse tensors that are not exactly the expected ones, saying how they differ."""
    missing, extra = sorted(expected.keys() - found), sorted(found.keys() - expected)
    other = sorted(name for name in expected.keys() & found if expected[name] != found[name])
    if not missing and not extra and not other and expected:
        return
    said = []
    if missing:
        said.append(f"{len(missing)} of {len(expected)} tensors are missing, e.g. {missing[0]}")
    if extra:
        said.append(f"{len(extra)} belong to no layer that it names, e.g. {extra[0]}")
    if other:
        name = other[0]
        said.append(f"{len(other)} have another shape, e.g. {name}: {found[name]}, not {expected[name]}")
    if not expected and not extra:
        said.append("it names no layer of the model")
    raise ConfigError(
        f"model.path: the adapter in {str(folder)!r} does not fit its config and base model: "
        f"{'; '.join(said)}; download it again, or check base_model_name_or_path and r in {CONFIG}"
    )


def _published_name(family: Family | None, layer: str) -> str:
    return layer if family is None else family.published_name(f"{layer}.weight").removesuffix(".weight")


def _layer_of(tensor: str) -> str:
    return tensor.removeprefix(_PREFIX).split(".lora_")[0]


def _setting(patterns: Mapping[str, Any] | None, layer: str, default: Any) -> Any:
    """A layer's own rank or alpha, if a pattern gives it one."""
    own = patterns or {}
    return own.get(get_pattern_key(list(own), layer), default)
