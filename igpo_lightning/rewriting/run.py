"""One start of the program: from a config to the files of a rewriting."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from transformers.utils import flatten_dict

from igpo_lightning import provenance
from igpo_lightning.amounts import counted
from igpo_lightning.asking import Writer
from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.config import construct
from igpo_lightning.console import quieten
from igpo_lightning.data.encoding import NO_TRACE
from igpo_lightning.data.sources.rows import NO_ANSWER
from igpo_lightning.files import write_atomic
from igpo_lightning.locks import locked
from igpo_lightning.rewriting import report
from igpo_lightning.rewriting.engine import Rewriter
from igpo_lightning.rewriting.journal import FILE as JOURNAL
from igpo_lightning.rewriting.journal import Answer, Journal, Trace, digest
from igpo_lightning.rewriting.judge import Judge, load_tokenizer
from igpo_lightning.rewriting.progress import Progress
from igpo_lightning.rewriting.writer import Rules
from igpo_lightning.types import Problem

SETTINGS = "settings.json"
RULES = "rules (sha256)"


def run(cfg: DictConfig) -> float | None:
    """Rewrite the training problems of ``cfg.data``; returns the share that was kept.

    Repeating the command goes on where it stopped. Ctrl-C and SIGTERM wait for what is in flight, write
    the files, and say how to go on (exit status 130 and 0).

    Raises:
        ConfigError: Bad settings, or no answers are to be had.
    """
    quieten()
    folder = Path(cfg.output_dir)
    limit = None if cfg.limit is None else positive_int("limit", cfg.limit)
    rules, writer = construct(cfg.rules), construct(cfg.rewriter)
    settings = settings_of(cfg, rules, writer)
    check_settings(folder, settings)
    judge = Judge(load_tokenizer(cfg.tokenizer), cfg.length, construct(cfg.prompt))
    source = construct(cfg.data.source)
    with locked(folder):
        journal = Journal(folder)
        problems, lacking = rewritable(source.train[:limit])
        traces = recall(problems, journal)
        figures = partial(report.figures, traces, cfg.attempts, cfg.prices)
        before, progress = figures(), Progress(figures, cfg.progress_interval)
        choices = {name: cfg[name] for name in ("attempts", "keep_fitting", "max_failures", "grace")}
        rewriter = Rewriter(writer, rules, judge, journal, progress, **choices)
        if not before["finished"]:
            writer.prepare()
            write_atomic(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
            provenance.write(folder, cfg)
            for line in _news(before, journal, lacking + Counter(source.dropped)):
                print(line, flush=True)
        try:
            if not before["finished"]:
                asyncio.run(rewriter.run(traces))
        finally:
            _write_results(cfg, traces, figures(), settings)  # whatever it was, the results so far are there
            judge.verifier.close()
    _farewell(rewriter, traces, before, now := figures())
    print(f"traces: {folder / report.CONCISE}   report: {folder / 'report.md'}, {folder / 'report.png'}")
    return now["pass_rate"]


def settings_of(cfg: DictConfig, rules: Rules, writer: Writer) -> dict[str, Any]:
    """Settings that rewrites depend on, as flat keys and values; not how many, how fast, and from where."""
    settings = {
        "data.source": OmegaConf.to_container(cfg.data.source, resolve=True),
        "length": cfg.length,
        "prompt.response": cfg.prompt.response,
        "tokenizer": cfg.tokenizer,
        "keep_fitting": cfg.keep_fitting,
        RULES: rules.sha256,
        "rewriter": type(writer).__name__,
        **writer.settings,
    }
    return flatten_dict(settings)


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than a rewriting with these settings.

    Raises:
        ConfigError: Naming what differs.
    """
    if not (folder / SETTINGS).exists():
        if found := next((name for name in (JOURNAL, report.CONCISE) if (folder / name).exists()), None):
            raise ConfigError(
                f"output_dir={folder}: it holds a {found} without {SETTINGS}, so it is not known how that "
                "was made; name another folder"
            )
        return
    before = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    changes = [
        f"{key} was {_shown(before.get(key))}, now {_shown(settings.get(key))}"
        for key in {**before, **settings}
        if (key in before, before.get(key)) != (key in settings, settings.get(key))
    ]
    if changes:
        raise ConfigError(
            f"output_dir={folder}: it holds rewrites made with other settings: {'; '.join(changes)}. "
            "Go back to those, or name another folder"
        )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:80]


def rewritable(problems: Sequence[Problem]) -> tuple[list[Problem], Counter[str]]:
    """(problems that a trace can be rewritten of, counts of the others by what they lack).

    Of no trace a writer would make an invention, and without an answer none could be verified: either is paid
    for in vain.

    Raises:
        ConfigError: None is left.
    """
    kept: list[Problem] = []
    lacking: Counter[str] = Counter()
    for problem in problems:
        if problem.trace.strip() and problem.answer:
            kept.append(problem)
        else:
            lacking[NO_ANSWER if problem.trace.strip() else NO_TRACE] += 1
    if lacking and not kept:
        raise ConfigError(f"data.source: no trace is left to rewrite; left out: {counted(lacking)}")
    return kept, lacking


def recall(problems: Iterable[Problem], journal: Journal) -> list[Trace]:
    """A trace for each problem, with what the journal knows of it.

    Raises:
        ConfigError: There is no problem, two have the same id, or the journal has an answer for another one.
    """
    traces: dict[str, Trace] = {}
    for problem in problems:
        if problem.id in traces:
            raise ConfigError(f"data.source: two problems have the id {problem.id!r}")
        traces[problem.id] = Trace(problem)
    if not traces:
        raise ConfigError("data.source: it has no training problems")
    for record in journal.records:
        if (trace := traces.get(record.id)) is None:
            continue  # beyond the limit of this start
        if isinstance(record, Answer) and record.source != digest(trace.problem):
            raise ConfigError(
                f"{journal.path}: the data has changed: problem {record.id!r} was another one when it was "
                "rewritten; name another output_dir"
            )
        trace.add(record)
    return list(traces.values())


def _news(figures: Mapping[str, Any], journal: Journal, dropped: Mapping[str, int]) -> Iterable[str]:
    """Lines before the work begins."""
    if dropped:
        yield f"rows left out: {counted(dropped)}"
    if journal.cut:
        yield f"the last line of {journal.path} was torn: its {journal.cut} bytes are cut"
    if journal.records:
        yield f"going on: {_done(figures)}, by {figures['answers']:,} answers"


def _write_results(
    cfg: DictConfig, traces: Sequence[Trace], figures: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    folder = Path(cfg.output_dir)
    report.write_rows(folder, traces)
    written = folder / "provenance.json"  # by the last start that asked anything
    how = {
        "settings": settings,
        "attempts": cfg.attempts,
        "provenance": json.loads(written.read_text()) if written.exists() else None,
    }
    write_atomic(folder / "summary.json", json.dumps({**figures, **how}, indent=2) + "\n")
    facts = {
        "writer": str(cfg.rewriter.get("model") or cfg.rewriter._target_),
        "tokenizer": str(cfg.tokenizer),
        "rules": settings[RULES][:12],
    }
    title, found = f"concise traces · {cfg.data.name}", {**figures, **facts}
    print(f"\n{report.write_report(folder, title, traces, found, cfg.length)}\n")


def _farewell(
    rewriter: Rewriter, traces: Sequence[Trace], before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Say how to go on, if it is not finished; raises if that is an error."""
    error, failed = rewriter.error, now["requests_failed"]
    if error is None and rewriter.signal is None and failed and now["answers"] == before["answers"]:
        last = next(trace.failure for trace in reversed(traces) if trace.failure)
        error = f"all {failed} requests got no answer, the last one: {last}"
    if error is not None:
        raise ConfigError(f"{error} ({_done(now)}; to go on, repeat the command)")
    if rewriter.signal is not None:
        print(f"stopped; {_done(now)}; to go on, repeat the command", flush=True)
        if rewriter.signal == signal.SIGINT:
            raise KeyboardInterrupt
    elif not now["finished"]:
        print(f"{_done(now)}; the others got no answer: to ask again, repeat the command")


def _done(figures: Mapping[str, Any]) -> str:
    return f"{figures['traces'] - figures['unanswered']:,} of {figures['traces']:,} traces are done"
