"""Brings an answer to one notation: Unicode, TeX and Markdown that carry no meaning are put aside.

``plain`` maps an answer to a small dialect of LaTeX that the rest of the grader reads. It goes over the
text a fixed number of times, and knows nothing of what the answer means.
"""

from __future__ import annotations

import re
import unicodedata

from igpo_lightning.rewards.emphasis import without_emphasis
from igpo_lightning.rewards.environments import without_environments
from igpo_lightning.rewards.vocabulary import CAPITALS, CURRENCIES, GREEK, listed

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₘᵢⱼₖ", "0123456789+-()nmijk")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₘᵢⱼₖ]+")
_GREEK = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", GREEK.split(), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", CAPITALS.split(), strict=True)),
    "ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta", "µ": "mu", "ħ": "hbar", "ℏ": "hbar", "ℓ": "ell",
    "Å": "AA", "Ω": "Omega",
}  # fmt: skip
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "✕": r"\times ", "⋅": r"\cdot ",
    "·": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "∶": ":",
    "∞": r"\infty ", "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ", "≤": r"\le ", "⩽": r"\le ",
    "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\neq ", "≈": r"\approx ", "≅": r"\approx ", "≡": r"\equiv ",
    "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ",
    "∅": r"\emptyset ", "∖": r"\setminus ", "°": r"\degree ", "º": r"\degree ", "′": "'", "’": "'", "‘": "'",
    "″": "''", "“": '"', "”": '"', "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ",
    "∠": r"\angle ", "△": r"\triangle ", "∂": r"\partial ", "∫": r"\int ", "∑": r"\sum ", "⌊": r"\lfloor ",
    "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "→": r"\to ", "⇒": r"\Rightarrow ", "、": ",",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}", "ℂ": r"\mathbb{C}",
    "¢": r"\text{cents}", "Ø": r"\emptyset ", "…": r"\ldots ", "¬": r"\neg ",
    "∨": r"\vee ", "∧": r"\wedge ", "⊙": r"\odot ", "∝": r"\propto ",
    **{sign: rf"\{name} " for sign, name in CURRENCIES.items()},
}  # fmt: skip
_TABLE = str.maketrans({
    **{letter: rf"\{name} " for letter, name in _GREEK.items()}, **_SIGNS,
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\ufe0e\ufe0f\u2061\u2062", ""),
    **dict.fromkeys("\u00a0\u2009\u202f\u2007\u2008\u200a\u2002\u2003\u2004\u2005\u2006\u3000\t\r\n", " "),
})  # fmt: skip
_THIN = re.compile("(?<=[0-9])[\u00a0\u2009\u202f\u2007](?=[0-9]{3}(?![0-9]))")

_COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[~{}$]", re.DOTALL)
_SAME = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"), r"\frac"),
    **dict.fromkeys(("dbinom", "tbinom"), r"\binom"), "geq": r"\ge", "geqslant": r"\ge", "leq": r"\le",
    "leqslant": r"\le", "ne": r"\neq", "gt": ">", "lt": "<", "lvert": "|", "rvert": "|",
    "vert": "|", "mid": "|", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(",
    "rparen": ")", "ast": "*", "div": "/", "slash": "/", "colon": ":", "varnothing": r"\emptyset",
    "O": r"\emptyset", "infin": r"\infty", "simeq": r"\approx", "approxeq": r"\approx", "cong": r"\approx",
    "degrees": r"\degree", "prime": "'", "dots": r"\ldots", "cdots": r"\ldots",
    "textdegree": r"\degree", "textdollar": r"\dollar", "EUR": r"\euro",
    "texteuro": r"\euro", "textrupee": r"\rupee", "INR": r"\rupee", "textsterling": r"\pounds",
    "textyen": r"\yen", "and": r"\text{ and }", "varepsilon": r"\epsilon", "varphi": r"\phi",
    "vartheta": r"\theta", "bigcup": r"\cup",
    "angstrom": r"\AA", "textendash": "-", "lang": r"\langle",
    "rang": r"\rangle", "minus": "-", "backslash": r"\setminus", "smallsetminus": r"\setminus",
    "ang": r"\angle", "measuredangle": r"\angle",
    "arcdegree": r"\degree", "%": "%", "#": "#", "&": " ", "_": " ", "newline": r"\\",
}  # fmt: skip
_NOTHING = listed(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm displaystyle textstyle "
    "scriptstyle limits nolimits rm bf it cal boldmath normalsize large Large mathstrut strut ensuremath "
    "mathopen mathclose mathrel mathord mathbin mathpunct mathinner mathit mathbf boldsymbol bm pmb mathsf "
    "mathtt mathcal mathscr underline boxed fbox framebox bold not* hfill centering nonumber notag"
)  # a brace after one of them stays as a group
_SPACES = listed(", ; : > ! space quad qquad enspace thinspace medspace nobreakspace") | {" "}
_TEXTS = listed(
    "text textbf textrm textnormal textit textsf texttt mbox hbox textup textmd emph mathrm "
    "operatorname mathop"
)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_DEGREE = re.compile(r"(?:\{\s*\}\s*)?\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![A-Za-z]))")
_LAYOUT = re.compile(
    r"(?<=\\\\)\s*\[[0-9.]{1,6}\s?[a-z]{2}\]|\\phantom\s*[^\s{\\]|\\(?:hspace|hskip|vspace|phantom|color|textcolor|label|tag)\*?\s*\{[^{}]*\}"
)
_MATRIX = re.compile(r"\\begin\s*\{(?:[pbB]?(?:small)?matrix|array)\*?\}(?:\s*\{[lcr|\s]*\})?")
_END = re.compile(r"\\end\s*\{(?:[pbB]?(?:small)?matrix|array)\*?\}")
_VULGAR = re.compile("(?<=[0-9])(?=[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")
_GROUPED = re.compile(
    r"(?<![0-9.,])[0-9]{1,3}(?:(?:,\\!\s*|\{,\}\s*|\\,|,\\,|\\\s|\\!|'|~)[0-9]{3})+(?![0-9])"
)
_SPACED = re.compile(r"(?<![0-9.,^_] )(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?! ?[0-9/]|[.,][0-9])")
_CROSS = re.compile(r"(?<=[0-9])\s?[xX]\s?(?=10\s?\^)")
_DOTTED = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}(?![0-9.])")
_LAKHS = re.compile(r"(?<![0-9.,])(?=[0-9,]*,0)[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?![0-9,])")  # 1,00,000
_PYTHON = re.compile(
    r"(?<![A-Za-z\\])(?:np|numpy|math|sympy|sp|cmath)\.(log(?:10|2)?(?![a-z0-9]))?(?=[a-z(])"
)
_LOGARITHMS = {"log": "\\ln", "log10": "\\log", "log2": "\\log_{2}"}
_LONE_SIGN = re.compile(r"(?<![\^_])\{\s*([:=<>+*/-])\s*\}|\\[A-Za-z]+\s*\{")  # 7{:}30, but not \vec{+}
_RUPEES = re.compile(r"(?:\\text\s*\{Rs\.?\}|(?<![A-Za-z\\])(?:Rs\.?|rs\.))\s?(?=[0-9.])")
_IN_FULL = re.compile(r"(\\rupee\s*[0-9.,]+)/-")  # Rs. 500/-
_CURRENCY = re.compile(r"\$(?=\s?[0-9.])")
_ASCII = re.compile(r"<=(?!>)|>=|(?<!\S)!=|(?<![=<>!:])==(?!=)")
_RELATIONS = {"<=": r"\le ", ">=": r"\ge ", "!=": r"\neq ", "==": "="}
_AROUND = re.compile(r"(\*{1,3}|__|[`\"])(?P<inner>.+)\1", re.DOTALL)


def plain(answer: str) -> str:
    """``answer`` in the grader's dialect; an empty text if nothing but notation is in it.

    A percent sign is a unit, as in the gold answers of MATH: 25% equals 25 and not 0.25.
    """
    text = without_emphasis(answer.strip())
    if not text.isascii():
        text = _unicode(text)
    while around := _AROUND.fullmatch(text.strip()):
        text = around["inner"]
    if "\\" in text or "{" in text or "~" in text or "$" in text:
        text = without_environments(_GROUPED.sub(_digits, text))
        text = _LAYOUT.sub(" ", _MATRIX.sub(r"\\open ", _END.sub(r"\\shut ", text)))
        text = _dollars(text.replace("\\not=", "\\neq "))
        text = _COMMAND.sub(_command, text)
        text = _LONE_SIGN.sub(lambda match: match[1] or match[0], _TEXT.sub(_text, text))
        text = _DEGREE.sub(r"\\degree ", text)
    elif "'" in text:
        text = _GROUPED.sub(_digits, text)
    if "s" in text:
        text = _IN_FULL.sub(r"\1", _RUPEES.sub(r"\\rupee ", text))
    text = _ASCII.sub(lambda match: _RELATIONS[match[0]], text)
    text = _PYTHON.sub(_function, text.replace("**", "^")).replace("%", "\\percent ")
    text = _CROSS.sub(r" \\times ", " ".join(text.split()))
    text = _DOTTED.sub(_digits, _SPACED.sub(_digits, text))
    return _bare(_LAKHS.sub(_digits, text))


def _unicode(text: str) -> str:
    text = _THIN.sub("", text)
    text = _RAISED.sub(lambda m: "^{" + m[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _LOWERED.sub(lambda m: "_{" + m[0].translate(_SUBSCRIPTS) + "}", text)
    text = _VULGAR.sub(" ", text).translate(_TABLE)
    if not text.isascii():
        vulgar = [c for c in set(text) if unicodedata.decomposition(c).startswith("<fraction>")]
        text = text.translate(str.maketrans({character: _fraction(character) for character in vulgar}))
        text = unicodedata.normalize("NFKC", text).translate(_TABLE)
    return text


def _fraction(character: str) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _function(match: re.Match[str]) -> str:
    """np.sin is sin, and np.log the natural logarithm."""
    return _LOGARITHMS[match[1]] if match[1] else ""


def _dollars(text: str) -> str:
    """Dollars of money as ``\\dollar``; those around mathematics go."""
    text = text.replace("\\$", "\\dollar ").replace("$$", " ")
    if text.count("$") % 2:
        text = _CURRENCY.sub(r"\\dollar ", text)
    return text


def _command(match: re.Match[str]) -> str:
    found = match[0]
    if found in "~$":
        return " " if found == "~" else ""
    if found in "{}":
        return found
    name = found[1:]
    if name in _TEXTS:
        return r"\text"
    if name in _SAME:
        return _SAME[name] + (" " if match.string[match.end() : match.end() + 1].isalpha() else "")
    if name in _NOTHING:
        return " "
    if name in _SPACES:
        return "" if name == "!" else " "
    return "" if name in ("(", ")", "[", "]") else found


def _text(match: re.Match[str]) -> str:
    """A text command whose content is mathematics is no text: ``\\text{72}``, ``\\text{(E) } 5``."""
    content = match[1]
    if re.search(r"[0-9\\^=(),]", content):
        return f" {content} "
    words = " ".join(content.split())
    return rf"\text{{{words}}}" if words else " "


def _digits(match: re.Match[str]) -> str:
    return "".join(character for character in match[0] if character.isdigit())


def _bare(text: str) -> str:
    """Without braces around the whole and full stops after it."""
    while True:
        before = text
        text = text.strip().rstrip(".,;:").rstrip()
        if text.startswith("{") and text.endswith("}") and _closes_last(text):
            text = text[1:-1].strip()
        if text == before:
            return text


def _closes_last(text: str) -> bool:
    """True if the brace that opens ``text`` is closed by its last character."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end() == len(text)
    return False
