"""English word problems made from templates by the reasoning-gym package."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from itertools import count

from igpo_lightning.amounts import counted
from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TEST_SIZE, VAL_SIZE, Source, check_sizes
from igpo_lightning.data.sources.generated import part_of
from igpo_lightning.data.traces import AnswerNotFound, final_statement
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem

_CHUNK = 1_000  # items asked for at a time
_ENOUGH = 40  # give up after so many times the items wanted: the package's templates have run dry
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_LONE_EQUATION = re.compile(rf"[A-Za-z]{{2,20}} ({_NUMBER}) ?= ?\1(?![\d.]\d)")
_UNROUNDED = re.compile(r"\.\d{6}")
_BEFORE = r"(?<![\d.,+*/×÷x(-])(?<![+*/×÷x(-] )"  # not the tail of a number or of a longer calculation
_AFTER = r"(?![\d.,]*[%/])"  # not a percentage or a fraction
_EQUATION = re.compile(rf"{_BEFORE}({_NUMBER}) ?([-+*/×÷x]) ?({_NUMBER}) ?= ?[$€£]?({_NUMBER}){_AFTER}")


class GsmSymbolic(Source):
    """GSM-style problems with generated rationales, without end.

    Which part a question belongs to is a hash of its text, so the parts are disjoint by construction, for
    all seeds. Rationales that are malformed ("48=48 emails"), false or don't end in the answer are
    dropped and counted in ``dropped``.

    Args:
        train_size: Number of training problems.
        val_size, test_size: Number of held-out problems.
        split_seed: Names the draw of all problems.

    Raises:
        ConfigError: reasoning-gym is not installed.
    """

    name = "gsm_symbolic"
    disjoint = True

    def __init__(
        self,
        train_size: int = 5_000,
        val_size: int = VAL_SIZE,
        test_size: int = TEST_SIZE,
        split_seed: int = 0,
    ) -> None:
        check_sizes(train_size, val_size, test_size, all_allowed=False)
        self.split_seed = split_seed
        sizes = {"train": train_size, "val": val_size, "test": test_size}
        parts: dict[str, list[Problem]] = {part: [] for part in sizes}
        dropped: Counter[str] = Counter()
        seen: set[str] = set()
        for item in _items(split_seed, limit=_ENOUGH * sum(sizes.values()) + _CHUNK):
            if all(len(parts[part]) >= sizes[part] for part in parts):
                break
            question, trace, answer = item["question"], item["metadata"]["answer_cot"], item["answer"]
            part = part_of(self.name, question, val=4)
            if question in seen or len(parts[part]) >= sizes[part]:
                continue
            seen.add(question)
            if fault := rationale_fault(trace, answer):
                dropped[fault] += 1
            else:
                id = f"{self.name}/{part}/{len(parts[part])}"
                parts[part].append(Problem(id, question, trace.strip(), answer))
        else:
            found = {part: len(problems) for part, problems in parts.items()}
            asked, gave = counted(sizes), counted(found)
            raise ConfigError(f"data.source: {asked} different problems asked, the templates gave {gave}")
        self.dropped = dict(dropped)
        self.train, self.val, self.test = parts.values()


def rationale_fault(trace: str, answer: str) -> str | None:
    """Name the fault that makes a rationale not worth learning from; None if there is none."""
    if _LONE_EQUATION.search(trace):
        return "equation without a left side"
    if _UNROUNDED.search(trace):
        return "unrounded number"
    if any(not _holds(*match.groups()) for match in _EQUATION.finditer(trace)):
        return "false equation"
    try:
        final_statement(trace, answer)
    except AnswerNotFound:
        return "another answer at the end"
    return None


def _holds(left: str, sign: str, right: str, result: str) -> bool:
    a, b, stated = (float(number.replace(",", "")) for number in (left, right, result))
    if sign in "/÷" and not b:
        return False
    value = {"+": a + b, "-": a - b, "/": a / (b or 1), "÷": a / (b or 1)}.get(sign, a * b)
    return abs(value - stated) < 0.006  # results are rounded to cents


def _items(seed: int, limit: int) -> Iterator[dict]:
    try:
        gym = importlib.import_module("reasoning_gym")
    except ImportError:
        raise ConfigError(
            "data=gsm_symbolic needs the package reasoning-gym: pip install 'igpo-lightning[tasks]'"
        ) from None
    for chunk in count():
        if chunk * _CHUNK >= limit:
            return
        first = derive(seed, "gsm_symbolic", chunk) % 2**31
        # Other difficulties change the numbers of a question but not of its rationale.
        yield from gym.create_dataset("gsm_symbolic", size=_CHUNK, seed=first, difficulty=1.0)
