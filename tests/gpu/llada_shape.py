"""LLaDA-8B's shape with random weights, as published; and the training program with a look at its phases.

python llada_shape.py OVERRIDE...   # igpo_lightning.train; this folder and the tests' must be on PYTHONPATH
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from checkpoints import _CHAT
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

# config.json of GSAI-ML/LLaDA-8B-Instruct, what a Llama needs of it.
PUBLISHED = {
    "activation_type": "silu", "alibi": False, "block_type": "llama", "d_model": 4096,
    "embedding_size": 126464, "eos_token_id": 126081, "include_bias": False, "layer_norm_type": "rms",
    "mask_token_id": 126336, "max_sequence_length": 4096, "mlp_hidden_size": 12288, "model_type": "llada",
    "n_heads": 32, "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081, "rms_norm_eps": 1e-05,
    "rope": True, "rope_theta": 500000.0, "torch_dtype": "bfloat16", "vocab_size": 126464,
    "weight_tying": False,
}  # fmt: skip
SMALL = {"d_model": 64, "mlp_hidden_size": 96, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2}
SPECIAL = {
    "<|startoftext|>": 126080, "<|endoftext|>": 126081, "<|mdm_mask|>": 126336,
    "<|start_header_id|>": 126346, "<|end_header_id|>": 126347, "<|eot_id|>": 126348,
}  # fmt: skip
_BLOCKS_A_SHARD = 4


def write_checkpoint(folder: Path, small: bool = False, device: str = "cpu") -> dict[str, Any]:
    """A folder in the published layout, its weights drawn on ``device``; returns its config.json."""
    config = {**PUBLISHED, **(SMALL if small else {})}
    folder.mkdir(parents=True, exist_ok=True)
    generator, index = torch.Generator(device).manual_seed(0), {}
    for number, shapes in enumerate(_shards(config)):
        file = f"model-{number + 1:05d}.safetensors"
        save_file(
            {name: _weight(shape, generator, device) for name, shape in shapes.items()},
            folder / file,
            metadata={"format": "pt"},
        )
        index |= dict.fromkeys(shapes, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer().save_pretrained(folder)
    return config


def _shards(config: dict[str, Any]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Names and shapes, so many at a time as are held in memory at once."""
    hidden, mlp, blocks = config["d_model"], config["mlp_hidden_size"], range(config["n_layers"])
    square, wide = (hidden, hidden), (mlp, hidden)
    block = {
        "attn_norm": (hidden,), "ff_norm": (hidden,), "q_proj": square, "k_proj": square, "v_proj": square,
        "attn_out": square, "ff_proj": wide, "up_proj": wide, "ff_out": (hidden, mlp),
    }  # fmt: skip
    for first in range(0, len(blocks), _BLOCKS_A_SHARD):
        some = blocks[first : first + _BLOCKS_A_SHARD]
        yield {
            f"model.transformer.blocks.{i}.{name}.weight": shape
            for i in some
            for name, shape in block.items()
        }
    table = (config["embedding_size"], hidden)
    yield {
        f"model.transformer.{name}.weight": shape
        for name, shape in {"wte": table, "ln_f": (hidden,), "ff_out": table}.items()
    }


def _weight(shape: tuple[int, ...], generator: torch.Generator, device: str) -> torch.Tensor:
    if len(shape) == 1:  # of a norm
        return torch.ones(shape, dtype=torch.bfloat16)
    drawn = torch.empty(shape, dtype=torch.bfloat16, device=device)
    return drawn.normal_(0.0, 0.02, generator=generator).cpu()


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, LLaDA's special tokens with their ids, and words that nobody says for all ids between."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)} | SPECIAL
    taken = set(vocabulary.values())
    vocabulary |= {f"Ġw{i}": i for i in range(max(taken)) if i not in taken}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    bos, eos = "<|startoftext|>", "<|endoftext|>"
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=bos, eos_token=eos, pad_token=eos)
    wrapped.chat_template = _CHAT
    return wrapped


def overrides(folder: Path, model: Path, algo: str, small: bool = False) -> list[str]:
    """The training program's command line: one SFT step, or one rollout window and its two updates."""
    length, steps, prompts, group = (32, 8, 1, 4) if small else (128, 16, 1, 8)
    sizes = {
        "sft": ["algo.steps=2", f"algo.batch_size={prompts * 2}",
                f"algo.rows_per_micro_batch={prompts * 2}",
                "algo.scheduler.warmup=0"],
        "igpo": ["algo.rollouts=1", f"algo.prompts_per_rollout={prompts}",
                 f"algo.prompts_per_micro_batch={prompts}",
                 f"algo.num_generations={group}", "algo.num_iterations=2"],
    }  # fmt: skip
    return [
        f"algo={algo}", "model=llada", f"model.path={model}", "data=word_problems", "prompt=plain",
        *sizes[algo], "algo.validate_every=1",
        f"sampler.length={length}", "sampler.block_length=16", f"sampler.steps={steps}",
        "data.source.train_size=32", "data.source.steps=[1,1]",
        "data.on_long=drop", "data.val_size=0", "data.test_size=0", "evaluate=false", "report=false",
        "callbacks.checkpoint=null", f"output_dir={folder}",
        f"+callbacks.phases={{_target_: llada_shape.Phases, file: {folder / 'phases.json'}}}",
        *(["model.lora.rank=4"] if small else []),
    ]  # fmt: skip


class Phases(Callback):
    """Seconds and peak memory of each part of a run, as JSON in ``file``.

    Memory is what PyTorch has allocated on the GPU; on a CPU, the most that the process ever had.
    """

    def __init__(self, file: str) -> None:
        self.file, self.phases = Path(file), {}
        self._since = float(os.environ.get("RUN_STARTED", time.time()))

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        self._end("load and set up")
        if (engine := getattr(trainer.datamodule, "engine", None)) is not None:
            run = engine.run

            def timed(*args: Any) -> Any:
                self._begin()
                batch = run(*args)
                self._end("rollout")
                return batch

            engine.run = timed

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self._begin()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._end(f"update {batch_idx + 1}")

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self._begin()

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        self._end("save and tear down")
        drift = trainer.callback_metrics.get("rollout/drift_max")
        found = {"phases": self.phases, "drift_max": None if drift is None else float(drift)}
        self.file.write_text(json.dumps(found, indent=1))

    def _begin(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._since = time.time()

    def _end(self, name: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() / 2**30
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        self.phases[name] = {"seconds": round(time.time() - self._since, 2), "GiB": round(peak, 2)}
        self._begin()


if __name__ == "__main__":
    if not torch.cuda.is_available():
        import cpu_strategies  # noqa: F401  # before anything else imports DeepSpeed

    from igpo_lightning.train import main

    main()
