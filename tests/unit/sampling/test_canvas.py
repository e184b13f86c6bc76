import torch
from fakes import FixedPolicy

from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.sampling.canvas import attention_of, collate, completion_texts, up_to_stop
from igpo_lightning.types import Problem, Prompt


def prompt(*ids):
    return Prompt(Problem("t", "", "", ""), ids)


def test_prompts_are_padded_on_the_left():
    tensors = collate([prompt(5, 6, 7), prompt(8)], pad_id=0)
    assert tensors.ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert tensors.mask.tolist() == [[True, True, True], [False, False, True]]


def test_attention_covers_all_but_padding_and_is_none_when_there_is_none():
    assert attention_of(torch.ones(2, 3, dtype=torch.bool), 2) is None
    mask = torch.tensor([[True, True], [False, True]])
    assert attention_of(mask, 2).tolist() == [[True, True, True, True], [False, True, True, True]]


def test_the_first_stop_token_is_the_last_that_counts():
    rows = torch.tensor([[5, 0, 7, 0], [5, 6, 7, 8], [0, 0, 0, 0], [5, 6, 7, 9]])
    assert up_to_stop(rows, (0, 9)).sum(-1).tolist() == [2, 4, 1, 4]
    assert up_to_stop(rows, (0,)).tolist()[0] == [True, True, False, False]


def test_texts_end_at_the_stop_token():
    tokenizer = word_level(["a", "b"])  # ids 4 and 5
    policy = FixedPolicy(lambda t: t, tokenizer=tokenizer)
    assert completion_texts(policy, torch.tensor([[4, 5, 0, 4], [5, 5, 4, 4]])) == ["a b", "b b a a"]
    assert completion_texts(policy, torch.empty(0, 4, dtype=torch.long)) == []
