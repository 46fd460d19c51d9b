"""Formulas as MathML, which browsers show without a script; and docstrings' roles as what they name."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):<code>~?([^<]*)</code>")


def on_page_content(content: str, **_: object) -> str:
    """The page's HTML with formulas and names."""
    content = BLOCK.sub(lambda match: convert(html.unescape(match[1]), display="block"), content)
    content = INLINE.sub(lambda match: convert(html.unescape(match[1])), content)
    return ROLE.sub(r"<code>\1</code>", content)
