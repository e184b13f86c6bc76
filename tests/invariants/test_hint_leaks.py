"""Hints of real data tell no answer: counted by other means than they are made by (tests/leaks.py).

Plain arithmetic such as 48 + 24 may stay, see docs/hints.md.
"""

import random
from collections import Counter

import pytest
from leaks import GAP, formulas_told, is_arithmetic, numbers_told, words_told

from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import Gsm8k, Math
from igpo_lightning.data.tokenizers import train_bpe
from igpo_lightning.rewards import Verifier


def test_the_count_sees_leaks():
    """What the package once left in its hints."""
    assert numbers_told("She filled fifteen of them.", "15") == [("number words", "fifteen")]
    assert numbers_told("That is 325 000 in all.", "325000") == [("digits", "325 000")]
    assert numbers_told("$x=-2$ or $x=7$", "-2, 7") != []
    assert numbers_told("so 48 + 24", "72") == [("calculation", "48 + 24")]
    assert numbers_told(f"so 48 + {GAP}, 720 and 7.2", "72") == []
    assert words_told("The function is Even.", "\\text{even}") == [("word", "Even")]
    assert formulas_told("$\\tan\\theta = \\frac{1}{\\sqrt{3}}$", "\\frac{\\sqrt{3}}{3}", Verifier())


def leaks(prompts, tokenizer, asked=0):
    """(kind, problem, text) of all leaks; ``asked`` of the hints are put to the verifier, too."""
    verifier = Verifier()
    drawn = set(random.Random(0).sample(range(len(prompts)), asked))
    for i, prompt in enumerate(prompts):
        hint = tokenizer.decode(prompt.hint).replace(tokenizer.mask_token, GAP)
        answer = prompt.problem.answer
        told = [leak for leak in numbers_told(hint, answer) if leak[0] != "calculation"]
        told += words_told(hint, answer)
        accepted = formulas_told(hint, answer, verifier) if i in drawn else []
        told += [(kind, text) for kind, text in accepted if not is_arithmetic(text)]
        yield from ((kind, prompt.problem.id, answer, text) for kind, text in told)


@pytest.mark.slow
@pytest.mark.parametrize("name, most", [("gsm8k", 0), ("math_train", 12)])
def test_hints_of_a_whole_training_set(real_data, name, most):
    path = str(real_data(name))
    source = Gsm8k(path) if name == "gsm8k" else Math(path)
    tokenizer = train_bpe(source.corpus(), 1024)
    report = Encoder(tokenizer, on_missing_answer="drop").encode_all(source.train)
    assert len(report.prompts) >= len(source.train) - 2
    found = list(leaks(report.prompts, tokenizer, asked=0 if name == "gsm8k" else 500))
    hints = [token for prompt in report.prompts for token in prompt.hint]
    masked = hints.count(tokenizer.mask_token_id) / len(hints)
    print(
        f"{name}: {len(report.prompts)} hints, {masked:.1%} masked; "
        f"{Counter(kind for kind, *_ in found)}: {found}"
    )
    # MATH: algebra that looks like a calculation, and answers that sympy misreads.
    assert len({problem for _, problem, *_ in found}) <= most, found
    assert masked < 0.15
