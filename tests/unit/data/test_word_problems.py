import re

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import WordProblems
from igpo_lightning.data.sources.word_problems import EXPLICIT, MEANING, NAMES
from igpo_lightning.data.tokenizers import WordLevel

EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")
TRUE_SIGN = {
    **dict.fromkeys(("wins", "finds", "earns", "plus"), "+"),
    **dict.fromkeys(("eats", "loses", "gives", "minus"), "-"),
    **dict.fromkeys(("grows", "copies", "breeds", "times"), "*"),
}


def compute(left, sign, right):
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def stories(prompt):
    """[(start, [(verb, n), ...]), ...] read from the prompt text."""
    people = prompt.removesuffix(" . total ?").split(" . ")
    for person in people:
        name, has, start, *rest = person.split()
        assert name in NAMES and has == "has"
        yield int(start), [(rest[i], int(rest[i + 1])) for i in range(0, len(rest), 2)]


def true_answer(prompt):
    total = 0
    for value, actions in stories(prompt):
        for verb, n in actions:
            value = compute(value, TRUE_SIGN[verb], n)
        total += value
    return total


SETTINGS = [
    dict(),
    dict(trace="verbose", agreement=0.4, explicit=0.3),
    dict(steps=(2, 4), agreement=0.4, explicit=0.3),
    dict(steps=(1, 3), people=1, trace="verbose"),
    dict(steps=(3, 5), people=3, max_number=99, seed=5),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_trace_computes_its_answer(setting):
    source = WordProblems(train_size=600, val_size=0, test_size=100, **setting)
    top = setting.get("max_number", 63)
    for problem in [*source.train, *source.test]:
        equations = [(int(a), s, int(b), int(c)) for a, s, b, c in EQUATION.findall(problem.trace)]
        assert all(compute(a, s, b) == c for a, s, b, c in equations)
        assert all(0 <= number <= top for number in map(int, re.findall(r"\d+", problem.trace)))
        assert problem.trace.endswith(f" #### {problem.answer}")
        assert equations[-1][3] == int(problem.answer)
        # The equations follow the story: each person's actions in order, then the sum of what they have.
        rest, owned = iter(equations), []
        for value, actions in stories(problem.prompt):
            for _, n in actions:
                left, _, right, result = next(rest)
                assert (left, right) == (value, n)
                value = result
            owned.append(value)
        total = owned[0]
        for value in owned[1:]:
            assert next(rest) == (total, "+", value, total + value)
            total += value
        assert next(rest, None) is None


@pytest.mark.parametrize("setting", SETTINGS)
def test_heldout_uses_the_true_meaning(setting):
    source = WordProblems(train_size=10, val_size=0, test_size=300, **setting)
    assert all(int(problem.answer) == true_answer(problem.prompt) for problem in source.test)
    assert not any(problem.meta["explicit"] for problem in source.test)


def test_verbs_mean_what_they_should():
    assert {verb: op.symbol for verb, op in (MEANING | EXPLICIT).items()} == TRUE_SIGN


@pytest.mark.parametrize("agreement", [0.0, 0.4, 1.0])
def test_agreement_is_the_share_of_true_operators(agreement):
    source = WordProblems(train_size=1500, val_size=0, test_size=0, agreement=agreement, explicit=0.25)
    true = {False: [], True: []}
    for problem in source.train:
        signs = [sign for _, sign, _, _ in EQUATION.findall(problem.trace)]
        verbs = problem.meta["verbs"]
        true[problem.meta["explicit"]] += [
            TRUE_SIGN[v] == s for v, s in zip(verbs, signs[: len(verbs)], strict=True)
        ]
    share = sum(true[False]) / len(true[False])
    assert share == pytest.approx(agreement, abs=0.04)  # 3.9 standard errors at 0.4
    assert all(true[True]), "explicit words always mean what they say"
    assert len(true[True]) / 3000 == pytest.approx(0.25, abs=0.06)


def test_prompts_do_not_depend_on_the_agreement():
    certain, doubtful = (
        WordProblems(train_size=200, val_size=0, test_size=0, agreement=a) for a in (1.0, 0.0)
    )
    assert [p.prompt for p in certain.train] == [p.prompt for p in doubtful.train]
    assert [p.trace for p in certain.train] != [p.trace for p in doubtful.train]


def content(problem):
    return tuple((start, tuple(actions)) for start, actions in stories(problem.prompt))


def test_train_and_heldout_are_disjoint_for_all_seeds_and_settings():
    settings = ((0, 0, 1.0), (0, 0, 0.4), (7, 0, 1.0), (0, 3, 1.0))
    sources = [
        WordProblems(1500, 400, 500, seed=s, split_seed=split, agreement=a) for s, split, a in settings
    ]
    train, val, test = (
        {content(p) for s in sources for p in getattr(s, part)} for part in ("train", "val", "test")
    )
    assert len(train) > 2000 and len(val) > 600 and len(test) > 800
    assert not train & val and not train & test and not val & test


def test_held_out_stories_are_all_different_also_without_their_names():
    source = WordProblems(200, 300, 500, steps=(2, 2), people=1, max_number=28)
    for part in (source.val, source.test):
        assert len({content(p) for p in part}) == len(part)
    assert len({p.prompt for p in source.val}) == 300


def test_more_held_out_stories_than_there_are_is_an_error_that_says_how_many_there_are():
    small = dict(steps=(1, 1), people=1, max_number=10)
    with pytest.raises(
        ConfigError, match=r"data.test_size=900: there are only about \d+ different test"
    ) as error:
        WordProblems(10, 0, 900, **small)
    (known,) = re.findall(r"about (\d+)", str(error.value))
    stories = {content(p) for p in WordProblems(10, 0, int(known), **small).test}
    assert len(stories) == int(known)
    # One action, 9 verbs: any of the three operators stays within 0..10. One story in four is for test.
    possible = 9 * sum(n <= s and max(s * n, s + n) <= 10 for s in range(1, 16) for n in range(1, 6))
    assert 0.15 * possible < len(stories) < 0.35 * possible


def test_what_is_held_out_does_not_vary_with_the_seed():
    sources = [WordProblems(30, 40, 50, seed=seed) for seed in range(3)]
    assert all(s.val[:] == sources[0].val[:] and s.test[:] == sources[0].test[:] for s in sources)
    assert sources[0].train[:] != sources[1].train[:]
    assert WordProblems(30, 40, 50, split_seed=1).test[:] != sources[0].test[:]


def test_items_do_not_depend_on_access_order_or_size():
    small, large = WordProblems(50, 20, seed=3), WordProblems(5000, 20, seed=3)
    backwards = [small.train[i] for i in reversed(range(50))][::-1]
    assert backwards == large.train[:50]
    assert small.train[17] is small.train[17]
    assert small.train[-1] == small.train[49]
    assert WordProblems(50, 20, seed=4).train[:50] != backwards
    with pytest.raises(IndexError):
        small.train[50]


def test_ids_and_known_items():
    source = WordProblems(train_size=20, val_size=0, test_size=20)
    assert source.train[17].id == "word_problems/2/train/17"
    assert WordProblems(1, 1, 1, steps=(2, 4)).test[0].id == "word_problems/2-4/test/0"
    assert WordProblems(1, 1, level="easy").train[0].id == "word_problems/easy/train/0"
    assert all(len(p.prompt.split()) == 14 and len(p.trace.split()) == 19 for p in source.train)


@pytest.mark.parametrize("steps, people", [((2, 2), 2), ((1, 1), 1), ((3, 3), 3), ((4, 4), 2)])
def test_verbose_says_the_same_at_more_than_twice_the_length(steps, people):
    brief, long = (WordProblems(50, 0, 0, steps, people, trace=t) for t in ("concise", "verbose"))
    for a, b in zip(brief.train, long.train, strict=True):
        assert EQUATION.findall(a.trace) == EQUATION.findall(b.trace) and a.answer == b.answer
        assert len(b.trace.split()) >= 2.5 * len(a.trace.split())


@pytest.mark.parametrize("steps, people", [((2, 2), 1), ((3, 4), 2)])
def test_result_first_turns_the_same_equations_around(steps, people):
    concise, turned = (WordProblems(50, 20, 0, steps, people, trace=t) for t in ("concise", "result_first"))
    for a, b in zip([*concise.train, *concise.val], [*turned.train, *turned.val], strict=True):
        assert (a.id, a.prompt, a.answer) == (b.id, b.prompt, b.answer)
        assert EQUATION.sub(r"\4 = \1 \2 \3", a.trace) == b.trace != a.trace


def test_hints_of_a_result_first_trace_hide_the_answer_and_keep_how_it_is_found():
    source = WordProblems(train_size=300, val_size=0, test_size=0, trace="result_first")
    tokenizer = WordLevel()(source)
    for prompt in Encoder(tokenizer).encode_all(source.train).prompts:
        answer = tokenizer.convert_tokens_to_ids(prompt.problem.answer)
        told = tokenizer.convert_ids_to_tokens(list(prompt.hint))
        assert answer not in prompt.hint and "####" not in told
        assert [t for t in told if t in "+-*"] == re.findall(r"[-+*]", prompt.problem.trace)


@pytest.mark.parametrize("setting", SETTINGS)
def test_vocabulary_is_complete_and_the_same_for_every_setting(setting):
    source = WordProblems(train_size=300, val_size=0, test_size=50, **setting)
    words = {w for p in [*source.train, *source.test] for w in f"{p.prompt} {p.trace}".split()}
    vocabulary = source.vocabulary()
    assert words <= set(vocabulary) and len(set(vocabulary)) == len(vocabulary)
    assert vocabulary == WordProblems(1, 1, max_number=setting.get("max_number", 63)).vocabulary()


def test_no_hint_tells_the_answer():
    checked = 0
    for setting in SETTINGS:
        source = WordProblems(train_size=150, val_size=0, test_size=20, **setting)
        tokenizer = WordLevel()(source)
        for prompt in Encoder(tokenizer).encode_all(source.train).prompts:
            answer = tokenizer.convert_tokens_to_ids(prompt.problem.answer)
            end = tokenizer.convert_tokens_to_ids("####")
            assert answer not in prompt.hint and end not in prompt.hint
            assert len(prompt.hint) == len(prompt.response) - 2
            kept = [i for i, token in enumerate(prompt.hint) if token != tokenizer.mask_token_id]
            assert all(prompt.hint[i] == prompt.response[i] for i in kept)
            masked = {prompt.response[i] for i in range(len(prompt.hint)) if i not in kept}
            ordinal = {tokenizer.convert_tokens_to_ids("First")} if prompt.problem.answer == "1" else set()
            assert answer in masked and masked <= {answer} | ordinal, "only the answer is masked"
            checked += 1
    assert checked == 750


@pytest.mark.parametrize("trace", ["concise", "verbose"])
def test_wrong_traces_mistake_one_operator_of_the_same_problems(trace):
    clean, noisy = (
        WordProblems(1500, 20, 20, steps=(2, 3), trace=trace, wrong_traces=share) for share in (0.0, 0.3)
    )
    wrong = 0
    for a, b in zip(clean.train, noisy.train, strict=True):
        assert (a.id, a.prompt, a.answer) == (b.id, b.prompt, b.answer)
        assert b.trace.endswith(f" #### {a.answer}")
        was, became = EQUATION.findall(a.trace), EQUATION.findall(b.trace)
        assert sum(left[1] != right[1] for left, right in zip(was, became, strict=True)) == (a != b)
        wrong += a != b
    assert abs(wrong / 1500 - 0.3) < 0.05
    assert clean.val[:] == noisy.val[:] and clean.test[:] == noisy.test[:]


@pytest.mark.parametrize(
    "wrong, key",
    [
        (dict(steps=(3, 2)), "data.source.steps"),
        (dict(wrong_traces=1.5), "data.source.wrong_traces"),
        (dict(steps=(0, 2)), "data.source.steps"),
        (dict(people=9), "data.source.people"),
        (dict(trace="long"), "data.source.trace"),
        (dict(agreement=1.5), "data.source.agreement"),
        (dict(explicit=-0.1), "data.source.explicit"),
        (dict(train_size=None), "data.source.train_size"),
        (dict(test_size=-1), "data.test_size"),
        (dict(val_size=None), "data.val_size"),
        (dict(people=1, steps=(16, 16)), "data.source.max_number"),
        (dict(max_number=1), "data.source.max_number"),
    ],
)
def test_bad_settings_name_their_key(wrong, key):
    with pytest.raises(ConfigError, match=re.escape(key)):
        WordProblems(**wrong)
