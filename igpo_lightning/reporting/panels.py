"""Panels of a dashboard as plain data: sections in the order in which a practitioner reads a run.

Names are those of docs/metrics.md, and of the summary of a W&B run (docs/dashboards.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from igpo_lightning.errors import ConfigError
from igpo_lightning.reporting.summary import AFTER, BEFORE, TEST

UPDATES = "trainer/global_step"  # Lightning's name for it at W&B
COMPLETIONS = "rollout/completions"
SAMPLES, REPORT = "samples", "report"  # the table of sampled completions, and a run's page

_NOISY = 0.6  # of 1; what differs from rollout to rollout by chance
_UNSAYABLE = "'\\=<>\n"  # in a filter, which the library keeps as text and reads again


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes:
        title: Its name.
        project: The W&B project.
        entity: Whose it is; None: that of the account.
        groups: W&B's groups whose runs are shown; empty: all runs.
        stages: Job types that the report shows; empty: all.
        by: Keys of the config that an arm's runs share. Empty: a workspace shows runs by themselves.
        table: Markdown, with which the report begins.
    """

    title: str
    project: str
    entity: str | None = None
    groups: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    table: str = ""

    def __post_init__(self) -> None:
        for name in (*self.groups, *self.stages):
            if found := set(name) & set(_UNSAYABLE):
                raise ConfigError(f"group={name}: W&B's library can't filter by a name with {min(found)!r}")


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: Its heading.
        metrics: Names of what is drawn, in one frame.
        kind: "line" of the values along ``x``, "bar" of the last ones, "table", or "page".
        pattern: Regular expression of further names, for those that the configuration makes.
        x: Name of the horizontal axis.
        log: Whether the vertical axis is logarithmic.
        smoothing: Weight of an exponential mean, from 0 to 1; what was logged stays to be seen behind it.
    """

    title: str
    metrics: tuple[str, ...] = ()
    kind: Literal["line", "bar", "table", "page"] = "line"
    pattern: str | None = None
    x: str = UPDATES
    log: bool = False
    smoothing: float = 0.0


@dataclass(frozen=True)
class Section:
    """Panels with a heading: ``is_open`` if it is seen first, ``in_report`` if it compares arms."""

    name: str
    panels: tuple[Panel, ...]
    is_open: bool = False
    in_report: bool = True


SECTIONS = (
    Section(
        "Result",
        (
            Panel("accuracy on test problems", (TEST,), "bar"),
            Panel("accuracy on validation problems, before and after", (BEFORE, AFTER), "bar"),
            Panel("accuracy on validation problems", ("val/accuracy",)),
            Panel("accuracy on validation problems, by completions", ("val/accuracy",), x=COMPLETIONS),
            Panel("reward of the model alone, by completions", ("rollout/reward_before",),
                  x=COMPLETIONS, smoothing=_NOISY),
            Panel("reward on validation problems", ("val/reward",)),
        ),
        is_open=True,
    ),
    Section(
        "Second tries and hints",
        (
            Panel("share of groups all wrong, before and after",
                  ("rollout/all_wrong_before", "rollout/all_wrong_after"), smoothing=_NOISY),
            Panel("share of second tries that are correct", ("rollout/hint_success",), smoothing=_NOISY),
            Panel("share of groups without signal", ("rollout/no_signal",), smoothing=_NOISY),
            Panel("groups sampled again, completions replaced, and with hints",
                  ("rollout/triggered", "rollout/replaced", "rollout/hinted")),
            Panel("completions of second tries, hinted, correct",
                  ("rollout/resampled", "rollout/resampled_hinted", "rollout/resampled_correct")),
            Panel("hint tokens of a hinted completion", ("rollout/hint_tokens",)),
            Panel("share of hints among tokens with gradient", ("rollout/hint_gradient_share",)),
            Panel("groups of other prompts, swapped in", ("rollout/others", "rollout/swapped")),
        ),
        is_open=True,
    ),
    Section(
        "Reward",
        (
            Panel("reward, before and after second tries", ("rollout/reward_before", "rollout/reward"),
                  smoothing=_NOISY),
            Panel("share of correct completions, before and after",
                  ("rollout/correct_before", "rollout/correct"), smoothing=_NOISY),
            Panel("pass@G", ("rollout/pass_at_g",), smoothing=_NOISY),
            Panel("terms of the reward", pattern="rollout/reward/.*", smoothing=_NOISY),
            Panel("spread of the reward within a group", ("rollout/reward_std",), smoothing=_NOISY),
            Panel("smallest and largest advantage", ("rollout/advantage_min", "rollout/advantage_max")),
            Panel("different answers of a group", ("rollout/distinct_answers",), smoothing=_NOISY),
            Panel("share of completions without an answer", ("rollout/unparsed",), smoothing=_NOISY),
            Panel("answers that the verifier gave up", ("rollout/verifier_timeouts",)),
        ),
        is_open=True,
    ),
    Section(
        "Stability",
        (
            Panel("KL to the reference", ("train/kl",), log=True),
            Panel("KL to the policy that sampled", ("train/kl_old",), log=True),
            Panel("share of clipped tokens, by side",
                  ("train/clip_ratio/low_mean", "train/clip_ratio/high_mean")),
            Panel("share of clipped tokens, all and hints",
                  ("train/clip_fraction", "train/clip_ratio/hints")),
            Panel("importance ratio", ("train/ratio_min", "train/ratio_mean", "train/ratio_max"), log=True),
            Panel("entropy (nats)", ("rollout/entropy",), smoothing=_NOISY),
            Panel("norm of the gradient", ("train/grad_norm",), log=True),
            Panel("drift between sampling and training", ("rollout/drift_max",)),
            Panel("loss", ("train/loss",), smoothing=_NOISY),
            Panel("learning rate", pattern="lr-.*"),
            Panel("alarms", pattern="guard/.*"),
        ),
        is_open=True,
    ),
    Section(
        "Lengths",
        (
            Panel("tokens of a completion", ("rollout/completions/min_length", "rollout/length",
                                             "rollout/completions/max_length")),
            Panel("share of completions without an end", ("rollout/completions/clipped_ratio",)),
            Panel("tokens of a validation completion", ("val/length",)),
            Panel("tokens with gradient of a completion", ("train/kept_tokens",)),
        ),
    ),
    Section(
        "Speed and memory",
        (
            Panel("tokens per second", ("time/tokens_per_second",)),
            Panel("seconds of a rollout", ("rollout/seconds",)),
            Panel("seconds of a rollout, by phase",
                  ("time/sample", "time/score", "time/logprobs", "time/wait")),
            Panel("seconds of an update", ("time/update",)),
            Panel("seconds in the reward, all threads", ("time/verify",)),
            Panel("forwards per token", ("rollout/forwards_per_token",)),
            Panel("memory (GiB)", ("memory/gib_max",)),
            Panel("tokens sampled so far", ("rollout/generated_tokens",)),
            Panel("rows through the model so far, sampling", ("rollout/row_forwards",)),
            Panel("tokens of prompts and completions so far", ("rollout/num_tokens",)),
            Panel("passes over the training set", ("train/epoch",)),
        ),
    ),
    Section(
        "A fast sampler beside the exact one",
        (
            Panel("reward lost", ("rollout/fidelity/reward_lost",)),
            Panel("share of equal tokens", ("rollout/fidelity/agreement",)),
            Panel("tokens gained", ("rollout/fidelity/length_gained",)),
            Panel("log-probability gained (nats)", ("rollout/fidelity/logp_gained",)),
            Panel("rows of the exact sampler", ("rollout/fidelity/exact_row_forwards",)),
        ),
        in_report=False,
    ),
    Section(
        "Supervised fine-tuning",
        (
            Panel("share of masked tokens guessed right", ("train/token_accuracy", "val/token_accuracy")),
            Panel("the same without the fill", ("train/text_token_accuracy", "val/text_token_accuracy")),
            Panel("loss on held-out traces", ("val/loss",)),
            Panel("share of the fill", ("train/padding_share", "val/padding_share")),
            Panel("tokens so far", ("train/num_tokens",)),
        ),
        in_report=False,
    ),
    Section(
        "Samples",
        (Panel("completions", (SAMPLES,), "table"), Panel("the page of a run", (REPORT,), "page")),
        is_open=True,
        in_report=False,
    ),
)  # fmt: skip


def as_data(sections: Sequence[Section] = SECTIONS) -> list[dict[str, Any]]:
    """The sections as lists and dicts, for JSON."""
    return [asdict(section) for section in sections]


def outline(sections: Sequence[Section] = SECTIONS) -> str:
    """The sections and panels as text, one line for each."""
    lines = []
    for section in sections:
        lines.append(f"{section.name}{'' if section.is_open else ' (closed)'}")
        for panel in section.panels:
            names = ", ".join([*panel.metrics, *([panel.pattern] if panel.pattern else [])])
            along = f" along {panel.x}" if panel.kind == "line" and panel.x != UPDATES else ""
            lines.append(f"  {panel.title}: {names}{along}{', log scale' if panel.log else ''}")
    return "\n".join(lines)
