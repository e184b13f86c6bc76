"""One start of the program: from a config to the files of a rewriting."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from igpo_lightning import provenance
from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.console import quieten
from igpo_lightning.rewriting import results
from igpo_lightning.rewriting.engine import Rewriter, Stop
from igpo_lightning.rewriting.journal import Journal
from igpo_lightning.rewriting.judge import Judge
from igpo_lightning.rewriting.progress import Progress
from igpo_lightning.rewriting.records import Answer, Trace, digest
from igpo_lightning.rewriting.report import write_report
from igpo_lightning.rewriting.rules import Rules
from igpo_lightning.rewriting.settings import RULES, check_settings, settings_of, write_settings
from igpo_lightning.rewriting.tally import Prices, Tally
from igpo_lightning.rewriting.tokenizer import load_tokenizer
from igpo_lightning.rewriting.writer import Writer
from igpo_lightning.types import Problem


def run(cfg: DictConfig) -> float | None:
    """Rewrite the training problems of ``cfg.data``; returns the share that was kept.

    Repeating the command goes on where it stopped. Ctrl-C and SIGTERM wait for what is in flight, write
    the files, and say how to go on (exit status 130 and 0).

    Raises:
        ConfigError: Bad settings, or no answers are to be had.
    """
    quieten()
    folder, attempts = Path(cfg.output_dir), positive_int("attempts", cfg.attempts)
    rules: Rules = instantiate(cfg.rules)
    writer: Writer = instantiate(cfg.rewriter, _convert_="all")
    settings = settings_of(cfg, rules, writer)
    check_settings(folder, settings)
    judge = Judge(load_tokenizer(cfg.tokenizer), cfg.length, instantiate(cfg.prompt))
    source = instantiate(cfg.data.source)
    traces = [Trace(problem) for problem in select(source.train, cfg.limit)]
    journal = Journal(folder)
    try:
        recall(traces, journal)
        tally = Tally.of(traces, attempts, Prices(**cfg.prices))
        rewriter = Rewriter(
            writer,
            rules,
            judge,
            journal,
            tally,
            attempts=attempts,
            keep_fitting=cfg.keep_fitting,
            max_failures=positive_int("max_failures", cfg.max_failures),
            grace=cfg.grace,
            progress=Progress(tally, cfg.progress_interval),
        )
        stop = Stop()
        if tally.done < tally.total:
            writer.prepare()
            _begin(folder, cfg, settings, journal)
            _greet(rewriter.progress, tally, journal, source.dropped)
            try:
                asyncio.run(rewriter.run(traces, stop))
            except BaseException:
                _write_results(cfg, traces, tally, settings)  # whatever it was, the results so far are there
                raise
        _write_results(cfg, traces, tally, settings)
    finally:
        journal.close()
        judge.verifier.close()
    return _farewell(folder, tally, stop, rewriter.error)


def select(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    """The first ``limit`` problems, all if it is None.

    Raises:
        ConfigError: There is none, or two have the same id.
    """
    chosen = list(problems if limit is None else problems[: positive_int("limit", limit)])
    seen: set[str] = set()
    for problem in chosen:
        if problem.id in seen:
            raise ConfigError(f"data.source: two problems have the id {problem.id!r}")
        seen.add(problem.id)
    if not chosen:
        raise ConfigError("data.source: it has no training problems")
    return chosen


def recall(traces: Sequence[Trace], journal: Journal) -> None:
    """Give each trace what the journal knows of it.

    Raises:
        ConfigError: The journal has an answer for another text under the same id.
    """
    by_id = {trace.problem.id: trace for trace in traces}
    for record in journal.records:
        if (trace := by_id.get(record.id)) is None:
            continue  # beyond the limit of this start
        if not isinstance(record, Answer):
            trace.verdicts.append(record)
            continue
        if record.source != digest(trace.problem):
            raise ConfigError(
                f"{journal.path}: the data has changed: problem {record.id!r} was another one when it was "
                "rewritten; name another output_dir"
            )
        trace.answers.append(record)


def _begin(folder: Path, cfg: DictConfig, settings: Mapping[str, Any], journal: Journal) -> None:
    """Make the folder, and write down how what follows is made."""
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder, settings)
    journal.begin()
    provenance.write(folder, cfg)


def _write_results(
    cfg: DictConfig, traces: Sequence[Trace], tally: Tally, settings: Mapping[str, Any]
) -> None:
    folder = Path(cfg.output_dir)
    results.write_rows(folder, traces)
    written = folder / "provenance.json"  # by the last start that asked anything
    made = json.loads(written.read_text()) if written.exists() else None
    how = {"settings": settings, "attempts": cfg.attempts, "provenance": made}
    results.write_summary(folder, tally, how)
    facts = {
        "writer": str(cfg.rewriter.get("model") or cfg.rewriter._target_),
        "tokenizer": str(cfg.tokenizer),
        "rules": settings[RULES][:12],
    }
    table = write_report(folder, f"concise traces · {cfg.data.name}", traces, tally, cfg.length, facts)
    print(f"\n{table}\n")


def _greet(progress: Progress, tally: Tally, journal: Journal, dropped: Mapping[str, int]) -> None:
    if dropped:
        said = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
        progress.say(f"rows left out by the source: {said}")
    if journal.cut:
        progress.say(f"the last line of {journal.path} was torn: its {journal.cut} bytes are cut")
    if journal.records:
        progress.say(
            f"going on: {tally.done:,} of {tally.total:,} traces are done, by {tally.answers:,} answers"
        )


def _farewell(folder: Path, tally: Tally, stop: Stop, error: ConfigError | None) -> float | None:
    """Say where the files are and how to go on."""
    done = f"{tally.done:,} of {tally.total:,} traces are done"
    if error is not None:
        raise ConfigError(f"{error} ({done}; to go on, repeat the command)")
    if stop.signal is not None:
        print(f"stopped; {done}; to go on, repeat the command", flush=True)
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt
    elif tally.done < tally.total:
        print(f"{done}; the others got no answer: to ask again, repeat the command")
    print(f"traces: {folder / results.CONCISE}   report: {folder / 'report.md'}, {folder / 'report.png'}")
    return tally.kept / tally.done if tally.done else None
