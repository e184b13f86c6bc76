"""Cursor over a list of tokens."""

from __future__ import annotations

from igpo_lightning.rewards.tokens import Token


class NotUnderstood(ValueError):
    """A token has no meaning where it stands."""


class Cursor:
    """A place in a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self, ahead: int = 0) -> str:
        """The text of the next token, or one further on; empty for words and behind the end."""
        at = self.at + ahead
        return self.tokens[at].text if at < len(self.tokens) and self.tokens[at].kind != "word" else ""

    def kind(self, ahead: int = 0) -> str:
        """The kind of the next token, or of one further on; empty behind the end."""
        at = self.at + ahead
        return self.tokens[at].kind if at < len(self.tokens) else ""

    def take(self) -> Token:
        """The next token, which is used up."""
        if self.at >= len(self.tokens):
            raise NotUnderstood("the end")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, text: str) -> None:
        """Use up a token that must be ``text``."""
        if self.take().text != text:
            raise NotUnderstood(text)

    def raw(self) -> list[str]:
        """The texts of a braced argument."""
        self.expect("{")
        inner: list[str] = []
        depth = 1
        while True:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 0:
                return inner
            inner.append(token.text)
