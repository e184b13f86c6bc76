"""Other names of settings: of earlier versions, and of other trainers.

Of the keys after a name, the first one that the composed config has is suggested; a name of a group
(``hardware``, ``data``) stands for its options. A test holds the table against the configs.
"""

from __future__ import annotations

import re

RENAMED: dict[str, str] = {
    "algo.group_size": "algo.num_generations",
    "algo.inner_updates": "algo.num_iterations",
    "algo.windows": "algo.rollouts",
    "algo.prompts_per_window": "algo.prompts_per_rollout",
    "algo.prompts_per_step": "algo.prompts_per_micro_batch",
    "algo.rows_per_step": "algo.rows_per_micro_batch",
    "algo.updates_per_pass": "algo.updates_per_iteration",
    "algo.loss.ratio": "algo.loss.importance_sampling_level",
    "algo.loss.clip_high": "algo.loss.epsilon_high",
    "algo.loss.clip": "algo.loss.epsilon",
    "algo.loss.kl": "algo.loss.beta",
    "algo.token_filter.fraction": "algo.token_filter.top_entropy_quantile",
    "algo.inpaint.placer.chunk": "algo.inpaint.chunk",
    "algo.inpaint.placer.stretch": "algo.inpaint.stretch",
    "algo.inpaint.placer": "algo.inpaint",
    "algo.inpaint.trigger": "algo.inpaint.when",
    "model.rl.group_size": "model.rl.num_generations",
    "model.rl.inner_updates": "model.rl.num_iterations",
    "model.rl.windows": "model.rl.rollouts",
    "model.rl.prompts_per_window": "model.rl.prompts_per_rollout",
    "model.rl.prompts_per_step": "model.rl.prompts_per_micro_batch",
    "model.rl.ratio": "model.rl.importance_sampling_level",
    "model.rl.clip_high": "model.rl.epsilon_high",
    "model.rl.clip": "model.rl.epsilon",
    "model.rl.kl": "model.rl.beta",
    "model.sft.rows_per_step": "model.sft.rows_per_micro_batch",
    "callbacks.samples.every_n_windows": "callbacks.samples.every_n_rollouts",
    "callbacks.identical_completions.windows": "callbacks.identical_completions.rollouts",
    "callbacks.constant_reward.windows": "callbacks.constant_reward.rollouts",
}
"""Keys of earlier versions (with all that is below them) and their names now. An old one is refused."""

# Prefixes that Lightning's CLI, verl, TRL's scripts and the like put before their own names.
_PREFIX = re.compile(
    r"^(algo|trainer|training|training_args|train|args|config|model|optim|optimizer|actor|rollout|lora|data)[.]"
)

# keys here, by preference: names elsewhere
_TABLE = {
    # how long, how much at once
    "algo.epochs": "max_epochs epochs num_epochs num_train_epochs n_epochs total_epochs",
    "algo.rollouts algo.steps": "max_steps steps num_steps train_steps total_steps iterations num_updates "
    "updates",
    "algo.prompts_per_rollout algo.batch_size": "batch_size train_batch_size global_batch_size "
    "rollout_batch_size",
    "algo.prompts_per_micro_batch algo.rows_per_micro_batch algo.prompts_per_rollout algo.batch_size": (
        "micro_batch_size per_device_train_batch_size mini_batch_size ppo_mini_batch_size "
        "gradient_accumulation_steps accumulate_grad_batches"
    ),
    "data.eval_batch batch_size": "eval_batch_size per_device_eval_batch_size",
    # policy optimisation
    "algo.num_generations": "num_generations group_size num_return_sequences num_samples n_samples group "
    "num_rollouts",
    "algo.num_iterations": "num_iterations mu inner_updates ppo_epochs inner_epochs",
    "algo.loss.beta": "beta kl kl_beta kl_coef kl_coeff kl_loss_coef",
    "algo/reference": "sync_ref_model ref_model_sync_steps ref_model_mixup_alpha",
    "algo.loss.epsilon": "epsilon eps clip clip_eps clip_range cliprange clip_ratio",
    "algo.loss.epsilon_high": "epsilon_high clip_ratio_high clip_eps_high",
    "algo.loss.importance_sampling_level": "importance_sampling_level",
    "algo.inpaint.ratio": "hint_ratio hints inpaint_ratio",
    "reward": "reward_funcs reward_fn reward_model rewards",
    "algo": "algorithm",
    # optimizer
    "algo.optimizer.lr": "lr learning_rate",
    "algo.optimizer.weight_decay": "weight_decay wd",
    "algo.optimizer.betas": "betas adam_beta1 adam_beta2",
    "algo.optimizer._target_": "optim",
    "algo.scheduler.warmup algo.scheduler": "warmup warmup_steps warmup_ratio num_warmup_steps",
    "algo.scheduler": "lr_scheduler lr_scheduler_type",
    "algo.trainer.gradient_clip_val": "max_grad_norm grad_clip clip_grad gradient_clip_val gradient_clipping",
    # sampling
    "sampler.length": "max_completion_length max_new_tokens max_tokens gen_length max_length max_seq_length "
    "response_length max_response_length canvas",
    "data.max_prompt": "max_prompt_length prompt_length",
    "sampler.steps": "diffusion_steps denoising_steps nfe",
    "sampler.block_length": "block_size",
    "sampler.temperature": "temperature",
    "sampler/order": "remasking remasking_strategy alg",
    "sampler/acceptance": "threshold unmask_threshold dynamic_threshold factor eb_threshold",
    "sampler.cache": "use_cache dual_cache prefix_cache kv_cache",
    "sampler.guidance": "cfg cfg_scale guidance_scale unsupervised_cfg_scale",
    "sampler.eos": "logits_eos_inf confidence_eos_eot_inf",
    "model.compile": "torch_compile compile",
    # model
    "model.path": "model_name_or_path name_or_path model_name model_path pretrained checkpoint base_model "
    "pretrained_model_name_or_path",
    "model.lora.rank model.lora": "lora_r lora_rank r",
    "model.lora.alpha model.lora": "lora_alpha",
    "model.lora.targets model.lora": "lora_target_modules target_modules",
    "model.lora": "lora_dropout use_peft peft",
    "model.load.dtype": "torch_dtype dtype",
    "model.load.quantize model": "load_in_4bit load_in_8bit quantization",
    "model.load.attn_implementation model": "attn_implementation",
    # data
    "data": "dataset dataset_name dataset_path train_dataset",
    "data.train_path data": "train_file train_files train_data",
    "benchmark": "tasks benchmarks task",
    "limit data.source.train_size": "max_samples",
    # hardware
    "hardware.devices": "devices gpus n_gpus num_gpus num_processes nproc_per_node",
    "hardware.num_nodes": "nodes nnodes num_nodes",
    "hardware.precision": "precision bf16 fp16 mixed_precision amp",
    "hardware": "strategy deepspeed fsdp ddp accelerator device distributed cuda gpu cpu",
    # the run
    "output_dir": "output out out_dir save_dir log_dir logdir logging_dir run_dir default_root_dir run_name "
    "exp_name experiment_name folder",
    "resume checkpoint": "resume_from_checkpoint ckpt_path ckpt load_checkpoint",
    "seed": "random_seed manual_seed rng_seed",
    "callbacks.checkpoint.every": "save_steps save_every save_freq every_n_train_steps",
    "callbacks.checkpoint.keep": "save_total_limit save_top_k",
    "algo.validate_every": "eval_steps eval_every val_check_interval test_freq",
    "logger": "report_to wandb use_wandb tensorboard loggers",
    "logger.wandb.project logger": "wandb_project project project_name",
    # rewriting
    "rewriter.model": "model",
    "rewriter.api_key_env": "api_key",
    "rewriter.base_url": "endpoint api_base url",
    "rewriter.concurrency": "num_workers",
}
HABITS = {name: tuple(keys.split()) for keys, names in _TABLE.items() for name in names.split()}


def keys_of(name: str) -> tuple[str, ...]:
    """The keys here that another trainer's ``name`` may mean; none if it is not known."""
    name = name.strip("-").replace("-", "_").lower()
    while name not in HABITS:
        shorter = _PREFIX.sub("", name)
        if shorter == name:
            return ()
        name = shorter
    return HABITS[name]
