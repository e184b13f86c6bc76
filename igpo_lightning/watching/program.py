"""One sampling: a model, questions, completions; on the console, in a file, on a page."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..checks import ConfigError, positive_int
from ..completing import Asked, canvases, complete
from ..config import construct
from ..console import quieten
from ..data.prompts import PromptFormat
from ..files import is_special, write_atomic
from ..models import Policy
from ..paths import path_text, writable_file
from ..rewards import Correctness, Verifier
from ..types import Problem
from .animation import write_svg
from .asked import questions, typed
from .filling import Filling, Pieces, printable, take
from .finding import take_from_run
from .page import write_page
from .terminal import LEGEND, Terminal


def run(cfg: DictConfig) -> None:
    """Sample as ``cfg`` says, with the overrides that Hydra was given.

    Raises:
        ConfigError: No model or no prompt, a hint that does not fit, or a file that can't be written.
    """
    sample(cfg, HydraConfig.get().overrides.task)


def sample(cfg: DictConfig, overrides: Sequence[str] = (), stream: TextIO | None = None) -> list[Filling]:
    """Sample as ``cfg`` says; returns the completions.

    Args:
        cfg: Composed of ``conf/sample.yaml``.
        overrides: As typed: what they say goes before what the model's run says.
        stream: Where to print; standard output if None.
    """
    asked = questions(cfg.question, cfg.prompts, cfg.hint, _text(cfg.answer))
    size = positive_int("batch_size", cfg.batch_size)
    files = _files(cfg)
    if cfg.model.get("lora"):
        raise ConfigError("model.lora: nothing is trained here; give the folder of an adapter as model.path")
    take_from_run(cfg, overrides)
    quieten()
    device = _device(cfg.device)
    if device.type == "cpu" and (threads := cfg.model.get("threads")) is not None:
        torch.set_num_threads(positive_int("model.threads", threads))
    program = Program(
        construct(cfg.model.load)(cfg.model.path, lora=None).to(device).eval(),
        construct(cfg.sampler),
        construct(cfg.prompt),
        cfg.seed,
        stream or sys.stdout,
    )
    stop_ids = program.policy.stop_ids
    if asked is None:
        done = [one for text in typed(cfg.hint) for one in program.batch([text], watch=bool(cfg.watch))]
    else:
        done = program.all(asked, size, bool(cfg.watch))
    if "out" in files:
        lines = (json.dumps(one.record(stop_ids), ensure_ascii=False) + "\n" for one in done)
        write_atomic(files["out"], lines)
    if "html" in files:
        write_page(files["html"], done, program.pieces, stop_ids)
    if "svg" in files:
        write_svg(files["svg"], done, program.pieces, stop_ids)
    return done


class Program:
    """A model and a sampler, which complete and print.

    Args:
        stream: Where to print.
    """

    def __init__(
        self, policy: Policy, sampler, prompt_format: PromptFormat | None, seed: int, stream: TextIO
    ) -> None:
        self.policy, self.sampler, self.prompt_format = policy, sampler, prompt_format
        self.seed, self.stream, self.pieces = seed, stream, Pieces(policy.tokenizer)
        self.correctness = Correctness(Verifier())  # as reward=accuracy has it
        self.place = 0  # of the next question among all

    def all(self, asked: Sequence[Asked], size: int, watch: bool) -> list[Filling]:
        """Complete all questions, ``size`` at a time, or one by one where they are watched."""
        canvases(self.policy, asked, self.sampler.length, "hint")  # refuses what does not fit before any work
        if watch:
            self._print(LEGEND if self.stream.isatty() else "[[hint]]  ·: empty")
        size = 1 if watch else size
        parts = [asked[i : i + size] for i in range(0, len(asked), size)]
        return [one for part in parts for one in self.batch(part, watch, several=len(asked) > 1)]

    def batch(self, asked: Sequence[Asked], watch: bool = False, several: bool = False) -> list[Filling]:
        """Complete these questions in one call, and print them.

        Args:
            watch: Show the one question's canvas while it is filled.
            several: Print the question above each completion.
        """
        done = self.fill(asked, watch)
        for one in done:
            if several and not watch:
                self._print(printable("> " + one.asked.prompt))
            self._print(printable(one.text))
        return done

    def fill(self, asked: Sequence[Asked], watch: bool = False) -> list[Filling]:
        """Complete these questions in one call; if ``watch``, show the one question's canvas meanwhile."""
        canvas = canvases(self.policy, asked, self.sampler.length, "hint")
        fillings = [
            Filling(one, row, self.policy.mask_id) for one, row in zip(asked, canvas.tolist(), strict=True)
        ]
        view = Terminal(self.pieces, self.policy.stop_ids, self.stream) if watch else None
        if view:
            view.begin(fillings[0], self.sampler.steps, self.sampler.block_length)
        started = time.perf_counter()
        made = complete(
            self.policy, self.sampler, asked, canvas, self.prompt_format, self.seed, self.place,
            view.step if view else lambda step: take(fillings, step),
        )  # fmt: skip
        seconds, self.place = time.perf_counter() - started, self.place + len(asked)
        for filling, tokens, text in zip(fillings, made.tokens.tolist(), made.texts, strict=True):
            filling.tokens, filling.text, filling.seconds = tokens, text, seconds
            filling.correct = self._judge(filling.asked, text)
        if view:
            view.end()
        return fillings

    def _judge(self, asked: Asked, text: str) -> bool | None:
        """Whether ``text`` states the right answer; None if that is not known."""
        if asked.answer is None:
            return None
        [worth] = self.correctness([Problem("", asked.prompt, "", asked.answer)], [text])
        return worth == 1.0

    def _print(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name}: expected auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={name}: there is no GPU here; take device=cpu")
    return device


def _files(cfg: DictConfig) -> dict[str, Path]:
    """The files that are asked for: each another one, and none of them that of the prompts."""
    files = {key: writable_file(key, cfg[key]) for key in ("out", "html", "svg") if cfg[key] is not None}
    users = {} if cfg.prompts is None else {os.path.realpath(path_text("prompts", cfg.prompts)): "prompts"}
    for key, path in files.items():
        user = users.setdefault(os.path.realpath(path), key)
        if user != key and not is_special(path):
            raise ConfigError(f"{key}={cfg[key]}: this is the file of {user}, too; name another one")
    return files


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
