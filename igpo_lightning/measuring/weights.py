"""The policy that is measured: loaded as a run loads it, or of the same shape with weights drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..checks import ConfigError
from ..config import construct
from ..models import Policy
from ..models.compiling import Compiling
from ..models.skeleton import Skeleton, skeleton_of_saved
from ..seeding import torch_rng


@dataclass(frozen=True)
class Ids:
    """A tokenizer of nothing: the text of an id is its number. Made-up models have no words.

    Attributes:
        size: Of the vocabulary, V.
        mask_token_id, eos_token_id: Ids below it.
    """

    size: int
    mask_token_id: int
    eos_token_id: int
    chat_template = None

    @property
    def pad_token_id(self) -> int:
        return self.eos_token_id

    def __len__(self) -> int:
        return self.size

    def batch_decode(self, rows: Sequence[Sequence[int]], **_: Any) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


def policy_of(cfg: DictConfig, device: torch.device) -> Policy:
    """The policy of ``cfg.model`` on ``device``, in train mode without dropout, as rollouts see it.

    Raises:
        ConfigError: ``weights`` is no word for it, or there is no such model.
    """
    if cfg.weights not in (None, "random"):
        raise ConfigError(f"weights={cfg.weights}: expected random, or null for those of model.path")
    path, lora = cfg.model.path, OmegaConf.to_container(cfg.model.lora) if cfg.model.lora else None
    if path is None:
        if cfg.model.create is None:
            raise ConfigError("model.path: this model has no weights of its own; give a folder or a hub id")
        if not cfg.vocabulary:
            raise ConfigError("vocabulary: a model that is made here needs a number, such as 8192")
        policy = construct(cfg.model.create)(special_ids(cfg.vocabulary, {}), lora=lora)
    elif cfg.weights is None:
        policy = construct(cfg.model.load)(path, lora=lora)
    else:
        policy = drawn(_skeleton(cfg, path, lora), device, cfg.seed)
    policy.compiling = Compiling(cfg.model.compile)
    policy.disable_dropout()
    return policy.to(device).train()


def special_ids(vocabulary: int, config: Mapping[str, Any]) -> Ids:
    """The mask and the end that a config names, or the last two ids where there is no room for these."""
    if vocabulary < 4:
        raise ConfigError(f"vocabulary={vocabulary}: it takes at least 4 ids")
    mask, eos = config.get("mask_token_id"), config.get("eos_token_id")
    if mask is None or eos is None or max(mask, eos) >= vocabulary:
        mask, eos = vocabulary - 1, vocabulary - 2
    return Ids(vocabulary, mask, eos)


def drawn(skeleton: Skeleton, device: torch.device, seed: int) -> Policy:
    """The skeleton's network with weights drawn on ``device``: normal, of the config's standard deviation.

    Norms are 1, biases and the second halves of adapters 0, as where training starts.
    """
    model = skeleton.model().to_empty(device=device)
    network = model.get_base_model() if hasattr(model, "peft_config") else model
    network.tie_weights()
    rotary = network.model.rotary_emb  # the one module with buffers, which are no weights
    with device:
        network.model.rotary_emb = type(rotary)(config=skeleton.config)
    std = float(getattr(skeleton.config, "initializer_range", 0.02))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            _draw(name, weight, std, torch_rng(seed, "bench", name, device=device))
    config = skeleton.config
    tokenizer: Any = special_ids(config.vocab_size, config.to_dict())
    return Policy(model, tokenizer, published=skeleton.published, source=skeleton.source)


def _skeleton(cfg: DictConfig, path: str, lora: Any) -> Skeleton:
    settings = dict(construct(cfg.model.load).keywords)
    if settings.get("quantize"):
        raise ConfigError("weights=random: model.load.quantize has to be null")
    skeleton, _ = skeleton_of_saved(path, lora=lora, **settings)
    if skeleton.frozen:
        raise ConfigError(f"weights=random: model.path={path} is an adapter; give a whole model's folder")
    if cfg.vocabulary:
        skeleton.config.vocab_size, skeleton.config.pad_token_id = cfg.vocabulary, None
        skeleton = replace(skeleton, published=_resized(skeleton.published, cfg.vocabulary))
    return skeleton


def _resized(published: Any, vocabulary: int) -> Any:
    if published is None:
        return None
    sizes = {"vocab_size": vocabulary, "embedding_size": vocabulary}
    return replace(published, config={**published.config, **sizes})


def _draw(name: str, weight: nn.Parameter, std: float, generator: torch.Generator) -> None:
    if "lora_B" in name or name.endswith("bias"):
        weight.zero_()
    elif weight.dim() < 2:
        weight.fill_(1.0)
    else:
        weight.normal_(0.0, std, generator=generator)
