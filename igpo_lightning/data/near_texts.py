"""Short problems in other words: the same but for words of grammar, or a word put in."""

from __future__ import annotations

from collections import defaultdict

from igpo_lightning.data.problem_text import Reading, Words

_SHORTEST = 3  # signs that count
_PUT_IN = 10  # signs that count for each word more or less


class NearTexts:
    """Problems that are found again if a few words are put in or left out.

    Two problems are near if they have the same numbers, operators and variables in the same order, and their
    other words, but those of grammar and of asking ("How many are there", "Find the number of"), are the same
    in the same order, or one has a word more for each ten. Another word in the place of one is another
    problem: the least for the greatest, one name for another. Drawings may be missing where numbers tell a
    problem.
    """

    def __init__(self) -> None:
        self._by_mathematics: dict[Words, list[tuple[Words, str]]] = defaultdict(list)

    def add(self, reading: Reading, id: str) -> None:
        """Take a problem in."""
        told = not reading.is_drawn or any(sign[0].isdigit() for sign in reading.mathematics)
        if len(reading.content) >= _SHORTEST and told:
            self._by_mathematics[reading.mathematics].append((reading.content, id))

    def find(self, reading: Reading) -> str | None:
        """The id of a problem that is near, None if there is none."""
        for content, id in self._by_mathematics.get(reading.mathematics, ()):
            shorter, longer = sorted((content, reading.content), key=len)
            if len(longer) - len(shorter) <= len(shorter) // _PUT_IN and _in_order(shorter, longer):
                return id
        return None


def _in_order(shorter: Words, longer: Words) -> bool:
    """True if ``shorter`` is what is left of ``longer`` without some of its signs."""
    rest = iter(longer)
    return all(sign in rest for sign in shorter)
