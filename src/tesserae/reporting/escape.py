"""Text as Markdown and LaTeX show it."""

import re


def escape_markdown(text: str) -> str:
    """Text that Markdown (also inside a pipe table) shows as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~$^])", r"\\\1", text)
    return re.sub(r"^([-+#]|\d+[.)])(?=\s)", r"\\\1", text)


LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",  # at the start of a row they would be arguments of the preceding \\
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "†": r"\dag{}",
    "·": r"\textperiodcentered{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\to$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
}


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is. Other Unicode characters are kept: rare ones need a Unicode engine."""
    text = "".join(LATEX_CHARACTERS.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"-(?=-)", "-{}", text)  # no dash from two hyphens
