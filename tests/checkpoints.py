"""Small checkpoints in the layouts that LLaDA and Dream are published in, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from igpo_lightning.seeding import torch_rng

EOT, MASK, EOS, BOS = "<|eot_id|>", "<|mdm_mask|>", "<|endoftext|>", "<|startoftext|>"
_HEADER = ("<|start_header_id|>", "<|end_header_id|>")
_CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
    "+ m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
_CODE = "raise SystemExit('code of a checkpoint was run')\n"
WIDE = {"hidden": 32, "mlp": 48, "layers": 2, "heads": 4, "kv_heads": 4}
GROUPED = {**WIDE, "kv_heads": 2}


def llada_tokenizer(chat_template: str | None = _CHAT) -> PreTrainedTokenizerFast:
    """Bytes, LLaDA's special tokens and its way of ending a turn; as there, no mask token is named."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in (BOS, EOS, MASK, *_HEADER, EOT)]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=EOS)
    made.chat_template = chat_template
    return made


def write_llada(
    folder: Path, *, sizes: dict[str, int] = WIDE, seed: int = 0, **fields: Any
) -> dict[str, Any]:
    """A LLaDA folder: two shards with an index, code that must not run. Returns its config.json."""
    tokenizer = llada_tokenizer()
    vocab, hidden, mlp = len(tokenizer), sizes["hidden"], sizes["mlp"]
    config = {
        "activation_type": "silu",
        "alibi": False,
        "architectures": ["LLaDAModelLM"],
        "auto_map": {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
        },
        "block_type": "llama",
        "d_model": hidden,
        "embedding_size": vocab,
        "eos_token_id": tokenizer.convert_tokens_to_ids(EOS),
        "include_bias": False,
        "layer_norm_type": "rms",
        "mask_token_id": tokenizer.convert_tokens_to_ids(MASK),
        "max_sequence_length": 128,
        "mlp_hidden_size": mlp,
        "model_type": "llada",
        "n_heads": sizes["heads"],
        "n_kv_heads": sizes["kv_heads"],
        "n_layers": sizes["layers"],
        "pad_token_id": tokenizer.convert_tokens_to_ids(EOS),
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_theta": 500000.0,
        "some_later_field": {"kept": [1, None]},
        "torch_dtype": "float32",
        "vocab_size": vocab,
        "weight_tying": False,
        **fields,
    }
    kv = hidden // sizes["heads"] * sizes["kv_heads"]
    inner = {
        **{
            "attn_norm": (hidden,),
            "ff_norm": (hidden,),
            "attn_out": (hidden, hidden),
            "q_proj": (hidden, hidden),
        },
        **{
            "k_proj": (kv, hidden),
            "v_proj": (kv, hidden),
            "ff_proj": (mlp, hidden),
            "up_proj": (mlp, hidden),
        },
        "ff_out": (hidden, mlp),
    }
    shapes = {f"blocks.{i}.{name}": s for i in range(sizes["layers"]) for name, s in inner.items()}
    shapes |= {"wte": (vocab, hidden), "ln_f": (hidden,)}
    if not config["weight_tying"]:
        shapes["ff_out"] = (vocab, hidden)
    tokenizer.save_pretrained(folder)
    _write(folder, config, {f"model.transformer.{name}.weight": s for name, s in shapes.items()}, seed)
    for module in ("configuration_llada", "modeling_llada"):
        (folder / f"{module}.py").write_text(_CODE)
    return config


def write_dream(
    folder: Path, *, sizes: dict[str, int] = GROUPED, seed: int = 0, **fields: Any
) -> dict[str, Any]:
    """A Dream folder without a tokenizer of its own: Qwen2's names and biases. Returns its config.json."""
    tokenizer = llada_tokenizer()
    vocab, hidden, mlp = len(tokenizer), sizes["hidden"], sizes["mlp"]
    config = {
        "architectures": ["DreamModel"],
        "auto_map": {
            "AutoConfig": "configuration_dream.DreamConfig",
            "AutoModel": "modeling_dream.DreamModel",
        },
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(EOS),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "mask_token_id": tokenizer.convert_tokens_to_ids(MASK),
        "max_position_embeddings": 128,
        "model_type": "Dream",
        "num_attention_heads": sizes["heads"],
        "num_hidden_layers": sizes["layers"],
        "num_key_value_heads": sizes["kv_heads"],
        "pad_token_id": tokenizer.convert_tokens_to_ids(EOS),
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_mrope": False,
        "use_sliding_window": False,
        "vocab_size": vocab,
        **fields,
    }
    vocab, kv = config["vocab_size"], hidden // sizes["heads"] * sizes["kv_heads"]
    inner = {
        **{"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)},
        **{
            f"self_attn.{n}_proj.weight": (w, hidden)
            for n, w in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden))
        },
        **{f"self_attn.{n}_proj.bias": (w,) for n, w in (("q", hidden), ("k", kv), ("v", kv))},
        **{"mlp.gate_proj.weight": (mlp, hidden), "mlp.up_proj.weight": (mlp, hidden)},
        "mlp.down_proj.weight": (hidden, mlp),
    }
    shapes = {f"model.layers.{i}.{name}": s for i in range(sizes["layers"]) for name, s in inner.items()}
    shapes |= {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    tokenizer.save_pretrained(folder)
    _write(folder, config, {**shapes, "lm_head.weight": (vocab, hidden)}, seed)
    return config


def write_sdar(
    folder: Path, *, sizes: dict[str, int] = GROUPED, seed: int = 0, **fields: Any
) -> dict[str, Any]:
    """An SDAR folder: Qwen3's names, with a norm of each head's queries and keys. Returns its config.json."""
    tokenizer = llada_tokenizer()
    vocab, hidden, mlp, head = len(tokenizer), sizes["hidden"], sizes["mlp"], 16
    config = {
        "architectures": ["SDARForCausalLM"],
        "attention_bias": False,
        "auto_map": {"AutoModelForCausalLM": "modeling_sdar.SDARForCausalLM"},
        "block_size": 4,
        "eos_token_id": tokenizer.convert_tokens_to_ids(EOS),
        "fuse_cross_entropy": True,
        "head_dim": head,  # not hidden / heads
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "mask_token_id": tokenizer.convert_tokens_to_ids(MASK),
        "max_position_embeddings": 128,
        "model_type": "sdar",
        "num_attention_heads": sizes["heads"],
        "num_hidden_layers": sizes["layers"],
        "num_key_value_heads": sizes["kv_heads"],
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_sliding_window": False,
        "vocab_size": vocab,
        **fields,
    }
    q, kv = head * sizes["heads"], head * sizes["kv_heads"]
    inner = {
        **{"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)},
        **{f"self_attn.{n}_proj.weight": (w, hidden) for n, w in (("q", q), ("k", kv), ("v", kv))},
        **{"self_attn.o_proj.weight": (hidden, q), "self_attn.q_norm.weight": (head,)},
        **{"self_attn.k_norm.weight": (head,), "mlp.down_proj.weight": (hidden, mlp)},
        **{"mlp.gate_proj.weight": (mlp, hidden), "mlp.up_proj.weight": (mlp, hidden)},
    }
    shapes = {f"model.layers.{i}.{name}": s for i in range(sizes["layers"]) for name, s in inner.items()}
    shapes |= {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    tokenizer.save_pretrained(folder)
    _write(folder, config, {**shapes, "lm_head.weight": (vocab, hidden)}, seed)
    return config


def _write(folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    """config.json, generation_config.json, and the weights in two shards."""
    rng = torch_rng(seed, "checkpoint")
    dtype = getattr(torch, config["torch_dtype"])
    tensors = {
        name: ((0.2 if len(shape) > 1 else 0.1) * torch.randn(shape, generator=rng) + (len(shape) == 1)).to(
            dtype
        )
        for name, shape in shapes.items()
    }
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    generation = {"_from_model_config": True, "eos_token_id": config["eos_token_id"], "use_cache": False}
    (folder / "generation_config.json").write_text(json.dumps(generation))
