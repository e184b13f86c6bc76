"""What these tests share: problems, a tokenizer of one token per character, a judge, rules."""

from __future__ import annotations

import pytest
from scripted import LENGTH

from igpo_lightning.data.tokenizers import train_bpe
from igpo_lightning.rewriting import Judge, Rules
from igpo_lightning.types import Problem


@pytest.fixture(scope="session")
def tokenizer():
    """Every character is a token."""
    return train_bpe(["x"], 259)


@pytest.fixture
def judge(tokenizer) -> Judge:
    return Judge(tokenizer, LENGTH)


@pytest.fixture
def rules() -> Rules:
    return Rules(
        system="Be brief.",
        user="Problem:\n{question}\n\nLong solution:\n{trace}\n\nFinal answer: {answer}\n{tokens} {words}",
        retry="Rejected: {reason} Then: {rewrite}",
    )


@pytest.fixture
def problems() -> list[Problem]:
    """Six, of which every other one has a trace that could stay as it is."""
    ends = [f"{i + 1}, yes." if i % 2 else f"\\boxed{{{i + 1}}}." for i in range(6)]
    return [Problem(f"toy/{i}", f"What is {i} + 1?", f"{i} + 1 = {ends[i]}", str(i + 1)) for i in range(6)]
