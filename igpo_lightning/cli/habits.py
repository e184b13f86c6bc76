"""Names that other trainers give to settings, and the keys they have here.

Of the keys after a name, the first ones that the composed config has are suggested; a name of a group
(``hardware``, ``data``) stands for its options. A test holds the table against the configs.
"""

from __future__ import annotations

import re

# Prefixes that Lightning's CLI, verl, TRL's scripts and the like put before their own names.
_PREFIX = re.compile(
    r"^(algo|trainer|training|training_args|train|args|config|model|optim|optimizer|actor|rollout|lora|data)[.]"
)

_LENGTH = ("algo.windows", "algo.steps")
_ROWS = ("algo.prompts_per_window", "algo.batch_size")
_MICRO = ("algo.prompts_per_step", "algo.rows_per_step")

HABITS: dict[str, tuple[str, ...]] = {
    # how long, how much at once
    **dict.fromkeys(
        ("max_epochs", "epochs", "num_epochs", "num_train_epochs", "n_epochs", "total_epochs", "max_steps",
         "steps", "num_steps", "train_steps", "total_steps", "iterations", "num_updates", "updates"), _LENGTH
    ),
    **dict.fromkeys(("batch_size", "train_batch_size", "global_batch_size", "rollout_batch_size"), _ROWS),
    **dict.fromkeys(
        ("per_device_train_batch_size", "micro_batch_size", "mini_batch_size", "ppo_mini_batch_size",
         "gradient_accumulation_steps", "accumulate_grad_batches"), (*_MICRO, *_ROWS)
    ),
    **dict.fromkeys(("eval_batch_size", "per_device_eval_batch_size"), ("data.eval_batch", "batch_size")),
    # policy optimisation
    **dict.fromkeys(
        ("num_generations", "num_return_sequences", "num_samples", "n_samples", "group", "num_rollouts"),
        ("algo.group_size",),
    ),
    **dict.fromkeys(("num_iterations", "mu", "ppo_epochs", "inner_epochs"), ("algo.inner_updates",)),
    **dict.fromkeys(("beta", "kl_beta", "kl_coef", "kl_coeff", "kl_loss_coef"), ("algo.loss.kl",)),
    **dict.fromkeys(
        ("epsilon", "eps", "clip_eps", "clip_range", "cliprange", "clip_ratio"), ("algo.loss.clip",)
    ),
    **dict.fromkeys(("epsilon_high", "clip_ratio_high", "clip_eps_high"), ("algo.loss.clip_high",)),
    "importance_sampling_level": ("algo.loss.ratio",),
    **dict.fromkeys(("hint_ratio", "hints", "inpaint_ratio"), ("algo.inpaint.ratio",)),
    **dict.fromkeys(("reward_funcs", "reward_fn", "reward_model", "rewards"), ("reward",)),
    "algorithm": ("algo",),
    # optimizer
    **dict.fromkeys(("lr", "learning_rate"), ("algo.optimizer.lr",)),
    **dict.fromkeys(("weight_decay", "wd"), ("algo.optimizer.weight_decay",)),
    **dict.fromkeys(("betas", "adam_beta1", "adam_beta2"), ("algo.optimizer.betas",)),
    "optim": ("algo.optimizer._target_",),
    **dict.fromkeys(("warmup", "warmup_steps", "warmup_ratio", "num_warmup_steps"),
                    ("algo.scheduler.warmup", "algo.scheduler")),
    **dict.fromkeys(("lr_scheduler", "lr_scheduler_type"), ("algo.scheduler",)),
    **dict.fromkeys(("max_grad_norm", "grad_clip", "clip_grad", "gradient_clip_val", "gradient_clipping"),
                    ("algo.trainer.gradient_clip_val",)),
    # sampling
    **dict.fromkeys(
        ("max_completion_length", "max_new_tokens", "max_tokens", "gen_length", "max_length",
         "max_seq_length", "response_length", "max_response_length", "canvas"), ("sampler.length",)
    ),
    **dict.fromkeys(("max_prompt_length", "prompt_length"), ("data.max_prompt",)),
    **dict.fromkeys(("diffusion_steps", "denoising_steps", "nfe"), ("sampler.steps",)),
    "block_size": ("sampler.block_length",),
    "temperature": ("sampler.temperature",),
    # model
    **dict.fromkeys(
        ("model_name_or_path", "name_or_path", "model_name", "model_path", "pretrained", "checkpoint",
         "base_model", "pretrained_model_name_or_path"), ("model.path",)
    ),
    **dict.fromkeys(("lora_r", "lora_rank", "r"), ("model.lora.rank", "model.lora")),
    "lora_alpha": ("model.lora.alpha", "model.lora"),
    "lora_dropout": ("model.lora",),
    **dict.fromkeys(("lora_target_modules", "target_modules"), ("model.lora.targets", "model.lora")),
    **dict.fromkeys(("use_peft", "peft"), ("model.lora",)),
    **dict.fromkeys(("torch_dtype", "dtype"), ("model.load.dtype",)),
    **dict.fromkeys(("load_in_4bit", "load_in_8bit", "quantization"), ("model.load.quantize", "model")),
    "attn_implementation": ("model.load.attn_implementation", "model"),
    # data
    **dict.fromkeys(("dataset", "dataset_name", "dataset_path", "train_dataset"), ("data",)),
    **dict.fromkeys(("train_file", "train_files", "train_data"), ("data.train_path", "data")),
    **dict.fromkeys(("tasks", "benchmarks", "task"), ("benchmark",)),
    "max_samples": ("limit", "data.source.train_size"),
    # hardware
    **dict.fromkeys(("devices", "gpus", "n_gpus", "num_gpus", "num_processes", "nproc_per_node"),
                    ("hardware.devices",)),
    **dict.fromkeys(("nodes", "nnodes", "num_nodes"), ("hardware.num_nodes",)),
    **dict.fromkeys(("precision", "bf16", "fp16", "mixed_precision", "amp"), ("hardware.precision",)),
    **dict.fromkeys(("strategy", "deepspeed", "fsdp", "ddp", "accelerator", "device", "distributed", "cuda",
                     "gpu", "cpu"), ("hardware",)),
    # the run
    **dict.fromkeys(
        ("output", "out", "out_dir", "save_dir", "log_dir", "logdir", "logging_dir", "run_dir",
         "default_root_dir", "run_name", "exp_name", "experiment_name", "folder"), ("output_dir",)
    ),
    **dict.fromkeys(("resume_from_checkpoint", "ckpt_path", "ckpt", "load_checkpoint"),
                    ("resume", "checkpoint")),
    **dict.fromkeys(("random_seed", "manual_seed", "rng_seed"), ("seed",)),
    **dict.fromkeys(("save_steps", "save_every", "save_freq", "every_n_train_steps"),
                    ("callbacks.checkpoint.every",)),
    **dict.fromkeys(("save_total_limit", "save_top_k"), ("callbacks.checkpoint.keep",)),
    **dict.fromkeys(("eval_steps", "eval_every", "val_check_interval", "test_freq"),
                    ("algo.validate_every",)),
    **dict.fromkeys(("report_to", "wandb", "use_wandb", "tensorboard", "loggers"), ("logger",)),
    **dict.fromkeys(("wandb_project", "project", "project_name"), ("logger.wandb.project", "logger")),
    # rewriting
    "model": ("rewriter.model",),
    "api_key": ("rewriter.api_key_env",),
    **dict.fromkeys(("endpoint", "api_base", "url"), ("rewriter.base_url",)),
    "num_workers": ("rewriter.concurrency",),
}  # fmt: skip


def keys_of(name: str) -> tuple[str, ...]:
    """The keys here that another trainer's ``name`` may mean; none if it is not known."""
    name = name.strip("-").replace("-", "_").lower()
    while True:
        if name in HABITS:
            return HABITS[name]
        shorter = _PREFIX.sub("", name)
        if shorter == name:
            return ()
        name = shorter
