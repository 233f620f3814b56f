"""Bars as SVG: small enough that a library for it would be the larger thing to keep up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LINE, _LABEL, _WIDTH, _BARS = 20, 150, 760, 470


@dataclass(frozen=True, slots=True)
class Bar:
    """``text`` stands behind it; ``own`` ones are set off by their colour."""

    label: str
    value: float
    text: str
    own: bool = False


def bars(panels: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Return a picture of panels one below the other, each a title and bars from zero to the largest of the panel."""
    parts, top = list[str](), 8
    for title, some in panels:
        parts.append(f'<text x="8" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        top += _LINE + 4
        longest = max((bar.value for bar in some), default=0) or 1
        for bar in some:
            width = max(_BARS * bar.value / longest, 1)
            colour = "#1f6feb" if bar.own else "#9aa4b2"
            parts.append(f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{escape(bar.label)}</text>')
            parts.append(f'<rect x="{_LABEL}" y="{top + 3}" width="{width:.1f}" height="{_LINE - 6}" fill="{colour}"/>')
            parts.append(f'<text x="{_LABEL + width + 6:.1f}" y="{top + 14}">{escape(bar.text)}</text>')
            top += _LINE
        top += 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" font-family="sans-serif"'
    return "\n".join(
        [f'{head} font-size="12">', f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>', *parts, "</svg>\n"]
    )
