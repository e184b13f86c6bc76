"""Lists of words, written as running text, and the names of letters."""

GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi
omega
"""
CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
"""Greek letters that no Latin one looks like."""


def listed(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())


CURRENCIES = {
    "€": "euro", "£": "pounds", "¥": "yen", "₹": "rupee", "₨": "rupee", "₩": "won", "₽": "ruble", "₱": "peso",
    "₺": "lira", "₦": "naira", "₪": "shekel", "₫": "dong", "฿": "baht", "₴": "hryvnia",
}  # fmt: skip
"""Sign to the name of a currency; in the grader's dialect, the name is a command."""


SPELLED = listed("pi alpha beta gamma theta lambda sigma phi omega tau")
"""Greek letters that are known without a backslash."""
