import pytest
from transformers import AutoTokenizer

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources import WordProblems
from igpo_lightning.data.tokenizers import BPE, EOS, MASK, SEP, UNKNOWN, WordLevel, train_bpe, word_level

CORPUS = ["Natalia sold 48/2 = 24 clips in May.\n#### 24", "the total is 1,234 clips"] * 20


@pytest.fixture(scope="module")
def bpe():
    return train_bpe(CORPUS, 300)


def test_word_level_ids_are_specials_then_words_in_order():
    tokenizer = word_level(["Ann", "has", "12", "has"])
    assert tokenizer.get_vocab() == {EOS: 0, MASK: 1, SEP: 2, UNKNOWN: 3, "Ann": 4, "has": 5, "12": 6}
    assert tokenizer(f"Ann has 12{SEP}12 dogs")["input_ids"] == [4, 5, 6, 2, 6, 3]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id) == (0, 0, 1)


@pytest.mark.parametrize("word", ["", "two words", " x"])
def test_word_level_refuses_what_it_could_never_match(word):
    with pytest.raises(ConfigError, match="single word"):
        word_level(["good", word])


def test_word_level_round_trip_of_the_embedded_task():
    source = WordProblems(
        train_size=300, val_size=0, test_size=10, trace="verbose", agreement=0.4, explicit=0.3
    )
    tokenizer = WordLevel()(source)
    assert len(tokenizer) == 4 + len(source.vocabulary())
    for text in source.corpus():
        encoded = tokenizer(text, return_offsets_mapping=True)
        assert tokenizer.decode(encoded["input_ids"]) == text
        assert [text[b:e] for b, e in encoded["offset_mapping"]] == text.split()
        assert tokenizer.unk_token_id not in encoded["input_ids"]


@pytest.mark.parametrize(
    "text",
    [
        "Natalia sold 1,234 clips.",
        "  two  spaces \n\t",
        "\\boxed{\\frac{1}{2}} é 漢字 🙂",
        "a , b . c 's",
        "",
    ],
)
def test_bpe_is_lossless(bpe, text):
    encoded = bpe(text, return_offsets_mapping=True)
    assert bpe.decode(encoded["input_ids"]) == text
    covered = {i for begin, end in encoded["offset_mapping"] for i in range(begin, end)}
    assert covered == set(range(len(text)))


def test_bpe_keeps_digits_apart_and_reaches_its_size(bpe):
    tokens = bpe.convert_ids_to_tokens(bpe("48/2 = 1234")["input_ids"])
    assert [t for t in tokens if any(c.isdigit() for c in t)] == list("4821234")
    assert len(bpe) < 300, "a corpus this small has no more pairs to merge"
    assert len(BPE(270)(WordProblems(train_size=20, val_size=0, test_size=1))) == 270


def test_bpe_needs_room_for_all_bytes():
    with pytest.raises(ConfigError, match=r"data.tokenizer.vocab_size: at least 259 .* got 258"):
        train_bpe(CORPUS, 258)


def test_saved_tokenizers_are_ordinary_folders(tmp_path, bpe):
    for name, tokenizer in (("bpe", bpe), ("words", word_level(["the", "total", "is", "24"]))):
        tokenizer.save_pretrained(tmp_path / name)
        loaded = AutoTokenizer.from_pretrained(tmp_path / name)
        text = f"the total is 24{SEP}{MASK}{EOS}"
        ids = tokenizer(text)["input_ids"]
        assert loaded(text)["input_ids"] == ids
        assert loaded.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids, skip_special_tokens=True)
        assert loaded.decode(ids[:-3]) == "the total is 24"
        assert (loaded.eos_token, loaded.pad_token, loaded.mask_token) == (EOS, EOS, MASK)
        assert loaded.is_fast
