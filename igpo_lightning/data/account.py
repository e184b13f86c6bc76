"""Account of a training set's rows: for people in a few lines, for programs in a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igpo_lightning.amounts import counted
from igpo_lightning.data.cache import Fate
from igpo_lightning.data.contamination import Decontaminated
from igpo_lightning.data.encoding import CUT, NO_TRACE
from igpo_lightning.files import write_atomic
from igpo_lightning.types import Problem

FILE = "data.json"
CONTAMINATED = "contaminated.jsonl"

_GROUPS = ("subject", "level")
_MOST_GROUPS = 20  # of one kind that are worth a line
_TELLING = 0.01  # shares of a group that are worth telling


@dataclass(frozen=True)
class Account:
    """Account of a training set.

    Args:
        dropped: What the source left out, by reason.
        clean: What was left beside benchmarks.
        problems: What was encoded.
        fates: What became of each of them.
        share: How much of the set ``clean`` and the others are of, by a sample. Below 1, what is said of the
            whole set is an estimate.
    """

    dropped: Mapping[str, int]
    clean: Decontaminated
    problems: Sequence[Problem]
    fates: Sequence[Fate]
    share: float = 1.0

    @property
    def sampled(self) -> bool:
        return self.share < 1

    @property
    def trained_on(self) -> int:
        return self._of_all(sum(fate.kept for fate in self.fates))

    def _of_all(self, count: int) -> int:
        """So many of the whole set, if ``count`` of what was looked at are."""
        return round(count / self.share)

    def left_out(self) -> Counter[str]:
        """Rows that are not trained on, by reason, whoever left them out."""
        counts = Counter(self.dropped)
        encoded = Counter(fate.note for fate in self.fates if not fate.kept)
        counts.update({reason: self._of_all(count) for reason, count in encoded.items()})
        if self.clean.overlaps:
            counts["in a held-out set"] = self._of_all(len(self.clean.overlaps))
        return counts

    def describe(self, hints: bool) -> list[str]:
        """The training set in lines; ``hints`` says what traces are for."""
        reasons = counted(self.left_out())
        lines = [f"{self.trained_on:,} training problems" + (f" (left out: {reasons})" if reasons else "")]
        if self.sampled:
            looked_at = len(self.problems) + len(self.clean.overlaps)
            lines = [f"about {lines[0]}: estimated from {looked_at:,} of them"]
        changed = {note: self._of_all(count) for note, count in self._notes().items()}
        if cut := changed.get(CUT):
            lines.append(f"{cut:,} traces are longer than the canvas: hints are cut from their beginnings")
        bare = changed.get(NO_TRACE, 0) if hints else 0
        if bare and bare == self.trained_on:
            lines.append(
                "no problem has a trace: with nothing to inpaint, algo=igpo is algo=grpo here; "
                "algo=grpo_resample samples all-wrong groups again without hints"
            )
        elif bare:
            lines.append(f"{bare:,} problems have no trace: nothing is inpainted for them")
        for group in _GROUPS:
            if said := self._by_group(group):
                lines.append(f"left out by {group}: {said}")
        return lines + self.clean.describe(listed=not self.sampled)

    def _notes(self) -> Counter[str]:
        """Of what was encoded and kept: what was done to it."""
        return Counter(fate.note for fate in self.fates if fate.kept and fate.note)

    def _by_group(self, group: str) -> str:
        """ "precalculus 430 of 746 (58 %), …": of what was encoded, most first; nothing if all are few."""
        counts = self.counts(group)
        lost = {
            name: (sum(fates.values()) - fates["kept"], sum(fates.values())) for name, fates in counts.items()
        }
        telling = {name: (out, of) for name, (out, of) in lost.items() if out > _TELLING * of}
        if len(counts) < 2 or len(counts) > _MOST_GROUPS or not telling:
            return ""
        ranked = sorted(telling.items(), key=lambda item: -item[1][0] / item[1][1])
        return ", ".join(f"{name} {out:,} of {of:,} ({100 * out / of:.0f} %)" for name, (out, of) in ranked)

    def counts(self, group: str) -> dict[str, Counter[str]]:
        """Of each value of a group: how many were "kept", and how many were left out by reason."""
        found: dict[str, Counter[str]] = {}
        for problem, fate in zip(self.problems, self.fates, strict=True):
            if (value := problem.meta.get(group)) is not None:
                found.setdefault(str(value), Counter())["kept" if fate.kept else fate.note] += 1
        return dict(sorted(found.items()))

    def save(self, folder: Path) -> None:
        """Write data.json, and contaminated.jsonl if there is anything to list."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / FILE, json.dumps(self.as_dict(), indent=2) + "\n")
        if self.clean.overlaps:
            lines = (json.dumps(overlap.row(), ensure_ascii=False) + "\n" for overlap in self.clean.overlaps)
            write_atomic(folder / CONTAMINATED, lines)

    def as_dict(self) -> dict[str, Any]:
        """The content of data.json."""
        groups = {group: counts for group in _GROUPS if (counts := self.counts(group))}
        return {
            "trained_on": self.trained_on,
            "left_out": dict(self.left_out()),
            "kept_with": dict(self._notes()),
            "by": {group: c for group, c in groups.items() if len(c) <= 10 * _MOST_GROUPS},
            "compared_with": self.clean.checked,
            "not_compared_with": self.clean.unread,
        }
