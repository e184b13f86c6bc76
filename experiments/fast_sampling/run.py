"""Fast sampling against exact sampling: what it saves, and what it costs, on one trained model.

python experiments/fast_sampling/run.py RUN            # a run folder of the embedded problems, or several
python experiments/fast_sampling/run.py --collect      # only the table and the picture
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import torch
from hydra.utils import instantiate

import igpo_lightning as il
from igpo_lightning.config import composed
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.provenance import git_state
from igpo_lightning.sampling.canvas import collate
from igpo_lightning.sampling.generate import generate
from igpo_lightning.seeding import derive

HERE = Path(__file__).parent
PROBLEMS = 1000
ORDERS = {"drawn": "drawn_probability", "max-p": "max_probability", "entropy": "least_entropy"}


def rule(acceptance: str, order: str, *more: str) -> list[str]:
    """Overrides of a rule of acceptance with an order, and of ``key=value`` of the rule or of the cache."""
    keys = [
        f"sampler.{text}" if text.startswith(("cache", "refresh")) else f"sampler.acceptance.{text}"
        for text in more
    ]
    return [f"sampler/acceptance={acceptance}", f"sampler/order={ORDERS[order]}", *keys]


SETTINGS = {
    "exact, drawn": [],
    "exact, max-p": ["sampler/order=max_probability"],
    "exact, entropy": ["sampler/order=least_entropy"],
    "fewer steps, drawn": ["sampler.steps=8"],
    **{f"threshold, drawn, {t}": rule("threshold", "drawn", f"threshold={t}") for t in (0.99, 0.9, 0.7, 0.5)},
    **{f"threshold, max-p, {t}": rule("threshold", "max-p", f"threshold={t}") for t in (0.99, 0.9, 0.7, 0.5)},
    **{f"factor, drawn, {f}": rule("factor", "drawn", f"factor={f}") for f in (0.1, 0.5, 1.0)},
    **{f"entropy bound, drawn, {b}": rule("entropy_bound", "drawn", f"bound={b}") for b in (0.01, 0.1, 0.5)},
    **{f"entropy bound, entropy, {b}": rule("entropy_bound", "entropy", f"bound={b}") for b in (0.1, 0.5)},
    "entropy bound, entropy, 0.01": rule("entropy_bound", "entropy", "bound=0.01"),
    **{f"budget, drawn, {b}": rule("budget", "drawn", f"tokens={b}") for b in (0.5, 1.0, 2.0)},
    "prefix cache, drawn": ["sampler.cache=prefix"],
    "dual cache, drawn": ["sampler.cache=dual"],
    "dual cache, every 2, drawn": ["sampler.cache=dual", "sampler.refresh_every=2"],
    "dual cache, threshold, drawn, 0.9": rule("threshold", "drawn", "threshold=0.9", "cache=dual"),
}  # fmt: skip


def with_rule(changes: list[str]) -> list[str]:
    """Overrides with a rule of acceptance: the schedule's, where there is none, and not the toy's own."""
    has_one = any(change.startswith("sampler/acceptance=") for change in changes)
    return changes if has_one else ["sampler/acceptance=quota", *changes]


def measure(folder: Path) -> dict:
    """Every setting on one model, greedily and at temperature 1."""
    policy = il.load_policy(str(folder / "model"))
    base = ["experiment=quickstart", "output_dir=."]
    cfg = composed([*base, f"data.test_size={PROBLEMS}"])
    samplers = {name: composed([*base, *with_rule(changes)]).sampler for name, changes in SETTINGS.items()}
    problems = list(instantiate(cfg.data.source).test)[:PROBLEMS]
    reward = instantiate(cfg.reward)
    encoder = Encoder(policy.tokenizer, instantiate(cfg.prompt), mask_id=policy.mask_id, hints=False)
    prompts = collate(list(encoder.encode_all(problems).prompts), policy.pad_id)
    which = torch.arange(len(problems))
    seeds = [derive(0, "fast sampling", problem.id) for problem in problems]
    found: dict = {}
    for temperature in (0.0, 1.0):
        exact = None
        for name, config in samplers.items():
            sampler = instantiate(config, temperature=temperature)
            canvas = torch.full((len(problems), sampler.length), policy.mask_id)
            done = generate(policy, sampler, prompts, which, canvas, seeds)
            scores = reward(problems, done.texts)
            exact = done if exact is None else exact
            same = (done.tokens == exact.tokens) & exact.completion_mask
            drawn = int(done.completion_mask.sum())
            found[f"{name} at {temperature:g}"] = {
                "accuracy": float(scores.correct.float().mean()),
                "agreement": float(same.sum() / exact.completion_mask.sum()),
                "calls_per_token": done.row_forwards / drawn,
                "columns_per_token": done.token_forwards / drawn,
                "length": drawn / len(problems),
            }
            print(folder.name, name, temperature, found[f"{name} at {temperature:g}"], flush=True)
    return found


def table(runs: dict) -> str:
    lines = [
        "| | accuracy, greedy | agreement, greedy | accuracy, T = 1 | calls per token | columns per token |",
        "|---|---|---|---|---|---|",
    ]
    for name in SETTINGS:
        cold, hot = ([run[f"{name} at {t}"] for run in runs.values()] for t in (0, 1))

        def mean(rows: list, key: str, shown: str) -> str:
            values = torch.tensor([row[key] for row in rows], dtype=torch.float64)
            return format(float(values.mean()), shown)

        lines.append(
            f"| {name} | {mean(cold, 'accuracy', '.1%')} | {mean(cold, 'agreement', '.1%')} | "
            f"{mean(hot, 'accuracy', '.1%')} | {mean(hot, 'calls_per_token', '.2f')} | "
            f"{mean(hot, 'columns_per_token', '.1f')} |"
        )
    return "\n".join(lines)


def picture(runs: dict, file: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(12, 4.5), sharey=True, layout="constrained")
    for axes, temperature in zip(both, (0, 1), strict=True):
        kinds: dict[str, list] = {}
        for name in SETTINGS:
            rows = [run[f"{name} at {temperature}"] for run in runs.values()]
            kind = name.rstrip("0123456789.").rstrip(", ")
            kinds.setdefault(kind, []).append(
                [sum(row[key] for row in rows) / len(rows) for key in ("columns_per_token", "accuracy")]
            )
        for i, (kind, points) in enumerate(kinds.items()):
            look = {"color": plt.colormaps["tab20"](i), "marker": "os^Dv"[i % 5]}
            axes.plot(*zip(*sorted(points), strict=True), label=kind, **look)
        axes.set_xlabel("columns through the network per token")
        axes.set_title(f"temperature {temperature}")
        axes.grid(alpha=0.3)
    both[0].set_ylabel(f"accuracy, {PROBLEMS} test problems, {len(runs)} models")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(file, dpi=120)


def main(arguments: list[str]) -> None:
    file = HERE / "results.json"
    if arguments != ["--collect"]:
        torch.set_num_threads(1)
        runs = {Path(folder).name: measure(Path(folder)) for folder in arguments}
        result = {
            "code": git_state(HERE.parents[1]),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "runs": runs,
        }
        file.write_text(json.dumps(result, indent=1))
    runs = json.loads(file.read_text())["runs"]
    (HERE / "results.md").write_text(table(runs) + "\n")
    picture(runs, HERE / "results.png")
    print(table(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
