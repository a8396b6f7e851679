"""Unusual names that charts must be able to draw."""

from __future__ import annotations

ODD = [
    "$x_1^2$",
    r"\frac{1}{2}",
    "精度",
    "a" * 250,
    "W" * 250,
    "\u202e{}%`'\"",
    "👩‍👩‍👧",
    "e\u0301",
    "a\nb\tc",
    " ",
    "العربية",
]
