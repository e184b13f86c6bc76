"""A user's own checkout of published sampling code, run on our weights through an adapter.

This runs the code in that folder. It is handed a callable that looks like its model: ids in, an object with
``.logits`` out. The cached functions of Fast-dLLM want more than that; they get the model class of their own
folder, ``model/modeling_llada.py``, with our weights in it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..checks import ConfigError, existing_path
from ..models import Policy
from ..models.llada import LLADA
from ..seeding import derive
from .contenders import Contender
from .meter import Meter
from .workload import Workload

# Functions of a checkout's generate.py, by kind and by the name of their case.
FUNCTIONS: dict[str, dict[str, str]] = {
    "llada": {"LLaDA's own": "generate"},
    "fast_dllm": {
        "Fast-dLLM": "generate",
        "Fast-dLLM, prefix cache": "generate_with_prefix_cache",
        "Fast-dLLM, dual cache": "generate_with_dual_cache",
    },
}
CHECKOUTS = tuple(name for functions in FUNCTIONS.values() for name in functions)
OWN_MODEL = "generate_with_dual_cache"  # a checkout that has it needs its own model class for its caches
_PACKAGE = "igpo_lightning_checkout"  # the name under which a checkout is imported


class AsTheirs:
    """A policy with the looks of a published model.

    Args:
        policy: Gives logits.

    Attributes:
        rows: Rows summed over all calls so far.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.rows = policy, 0
        self.device = next(policy.parameters()).device

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
        self.rows += len(input_ids)
        mask = None if attention_mask is None or attention_mask.all() else attention_mask.bool()
        logits = self.policy(input_ids, mask)
        return SimpleNamespace(logits=logits)


class TheirModel:
    """The network of a checkout, with our weights.

    Args:
        module: Its ``modeling_llada``.
        policy: Whose weights it gets; they are shared, not copied.

    Raises:
        ConfigError: The policy is no LLaDA, or the weights do not fit.
    """

    def __init__(self, module: ModuleType, policy: Policy) -> None:
        if policy.has_adapters:
            raise ConfigError("kind=fast_dllm: its model knows no adapters; say model.lora=null")
        own = dict(policy.network.named_parameters())
        if policy.network.config.tie_word_embeddings:
            own.pop("lm_head.weight", None)
        state = {LLADA.published_name(name): weight.detach() for name, weight in own.items()}
        config, known = _published_config(policy), {field.name for field in fields(module.ModelConfig)}
        given = {name: value for name, value in config.items() if name in known}
        given["init_device"] = "meta"  # made without memory: the weights are ours
        network = module.LLaDAModel(module.ModelConfig(**given), init_params=False)
        try:
            network.load_state_dict(
                {name.removeprefix("model."): value for name, value in state.items()}, assign=True
            )
        except RuntimeError as error:
            raise ConfigError(f"kind=fast_dllm: our weights do not fit its model: {error}") from error
        self.network, self.device, self.rows = network.eval(), next(iter(own.values())).device, 0

    def __call__(
        self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = False, **more: Any
    ) -> Any:
        self.rows += len(input_ids)
        out = self.network(input_ids, past_key_values=past_key_values, use_cache=use_cache, **more)
        return SimpleNamespace(logits=out.logits, past_key_values=out.attn_key_values)


@dataclass
class Checkout:
    """The work of one function of a checkout.

    Attributes:
        function: Theirs.
        model: What it is called with.
        options: Further arguments of it.
        batched: Whether it takes several prompts at a time; some versions do not.
    """

    function: Callable[..., Any]
    model: AsTheirs | TheirModel
    options: Mapping[str, Any]
    batched: bool = True

    def __call__(self, load: Workload, meter: Meter) -> None:
        ids = [load.prompts[p].ids for p in load.which]
        own, done = load.algorithm.sampler, []
        size = {"steps": own.steps, "gen_length": own.length, "block_length": own.block_length}
        before = self.model.rows
        with load.precision(), meter.running():
            for rows in _together(ids, self.batched):
                prompts = torch.tensor(rows, dtype=torch.long, device=load.device)
                done.append(self.run(load, prompts, size)[:, -own.length :])
        meter.turn.tokens = sum(part.numel() for part in done)
        meter.turn.row_forwards = self.model.rows - before

    def run(self, load: Workload, prompts: Tensor, size: Mapping[str, int]) -> Tensor:
        """Call the function with those of the arguments that it knows."""
        given = {
            **size, "temperature": load.algorithm.sampler.temperature, "cfg_scale": 0.0,
            "remasking": "low_confidence", "mask_id": load.policy.mask_id, **self.options,
        }  # fmt: skip
        known = inspect.signature(self.function).parameters
        with torch.no_grad(), _seeded(load):
            out = self.function(self.model, prompts, **{k: v for k, v in given.items() if k in known})
        return out[0] if isinstance(out, tuple) else out

    def contender(self, name: str, load: Workload) -> Contender:
        """The work as a contender of this name, tried with two prompts before."""
        self.batched = self._takes_batches(load)
        changes = [f"{self.function.__name__}({', '.join(f'{k}={v}' for k, v in self.options.items())})"]
        if not self.batched:
            changes.append("one row at a time")
        return Contender("sampling", name, changes, load, self, isinstance(self.model, TheirModel))

    def _takes_batches(self, load: Workload) -> bool:
        row = load.prompts[0].ids
        prompts = torch.tensor([row, row], dtype=torch.long, device=load.device)
        try:
            with load.precision():
                out = self.run(load, prompts, {"steps": 2, "gen_length": 2, "block_length": 2})
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return False
        return len(out) == 2


def checkouts(folder: str, kind: str, options: Mapping[str, Any], load: Workload) -> list[Contender]:
    """The contenders that a checkout's ``generate.py`` holds.

    Raises:
        ConfigError: There is no such folder, kind or function, or its code can't be imported.
    """
    if kind not in FUNCTIONS:
        raise ConfigError(f"kind={kind}: expected {' or '.join(FUNCTIONS)}")
    generate = load_module(existing_path("against", folder), "generate")
    functions = FUNCTIONS[kind]
    if missing := [name for name in functions.values() if not hasattr(generate, name)]:
        raise ConfigError(f"against={folder}: its generate.py has no {missing[0]}; is kind={kind} right?")
    if OWN_MODEL in functions.values():
        model = TheirModel(load_module(Path(folder), "model.modeling_llada"), load.policy)
    else:
        model = AsTheirs(load.policy)
    return [
        Checkout(getattr(generate, function), model, options).contender(name, load)
        for name, function in functions.items()
    ]


def load_module(folder: Path, name: str) -> ModuleType:
    """Run a module of a checkout; it may import its neighbours as ``model.x`` or as ``.model.x``.

    Raises:
        ConfigError: There is none, or it can't be imported.
    """
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    if not file.is_file():
        raise ConfigError(f"against={folder}: no {file.relative_to(folder)} in it")
    package = ModuleType(f"{_PACKAGE}_{derive(str(folder.resolve()))}")
    package.__path__ = [str(folder)]  # type: ignore[attr-defined]
    with _neighbours_of(folder, package):
        try:
            return importlib.import_module(f"{package.__name__}.{name}")
        except Exception as error:
            raise ConfigError(f"against={folder}: {file.name}: {type(error).__name__}: {error}") from error


@contextmanager
def _neighbours_of(folder: Path, package: ModuleType) -> Iterator[None]:
    """Within this context modules of ``folder`` can be imported by their own names; after it none is left."""
    before = set(sys.modules)
    sys.modules[package.__name__] = package
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:  # such as "model", which others may have, too
            file = getattr(sys.modules[name], "__file__", None)
            if name.startswith(_PACKAGE) or (file and Path(file).is_relative_to(folder.resolve())):
                del sys.modules[name]


@contextmanager
def _seeded(load: Workload) -> Iterator[None]:
    """Their code draws from the global generators; these are left as they were."""
    devices = [load.device] if load.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(load.algorithm.seed)
        yield


def _together(ids: list[tuple[int, ...]], batched: bool) -> Iterator[list[tuple[int, ...]]]:
    """Rows of one length together, as that code knows no padding; or one by one."""
    if not batched:
        yield from ([row] for row in ids)
        return
    for width in sorted({len(row) for row in ids}):
        yield [row for row in ids if len(row) == width]


def _published_config(policy: Policy) -> dict[str, Any]:
    """The config in LLaDA's words: as it was published, or translated from the network's own."""
    if policy.published is not None:
        return dict(policy.published.config)
    own = policy.network.config
    return {
        "activation_type": "silu", "alibi": False, "block_type": "llama", "d_model": own.hidden_size,
        "attention_dropout": 0.0, "attention_layer_norm": False, "bias_for_layer_norm": False,
        "embedding_dropout": 0.0, "embedding_size": own.vocab_size, "eos_token_id": policy.eos_id,
        "flash_attention": False, "include_bias": False, "include_qkv_bias": False, "layer_norm_type": "rms",
        "mask_token_id": policy.mask_id, "max_sequence_length": own.max_position_embeddings,
        "mlp_hidden_size": own.intermediate_size, "n_heads": own.num_attention_heads,
        "n_kv_heads": own.num_key_value_heads, "n_layers": own.num_hidden_layers,
        "pad_token_id": policy.pad_id, "residual_dropout": 0.0, "rms_norm_eps": own.rms_norm_eps,
        "rope": True, "rope_full_precision": True, "rope_theta": own.rope_parameters["rope_theta"],
        "scale_logits": False, "vocab_size": own.vocab_size, "weight_tying": own.tie_word_embeddings,
    }  # fmt: skip
