"""The picture of a range test."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from project.core.files import atomic_write

_WIDTH, _HEIGHT = 800, 480
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 30, 780, 420  # of the area in which the curve is drawn
_POINT, _LINE, _MARK = "#9ab8d6", "#1f77b4", "#d62728"


def write_curve(
    path: Path, rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, suggestion: float | None
) -> None:
    """Draw losses over learning rates, on a logarithmic axis, and write the picture as a PNG file."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    # What diverges at the end would flatten the rest.
    low, high = float(smoothed.min()), float(max(smoothed[0], np.median(losses)))
    margin = 0.25 * (high - low or abs(high) or 1.0)
    low, high = low - margin, high + margin
    exponents = range(math.ceil(math.log10(rates[0]) - 1e-6), math.floor(math.log10(rates[-1]) + 1e-6) + 1)

    def place(rate: float, loss: float) -> tuple[float, float]:
        share = math.log(rate / rates[0]) / math.log(rates[-1] / rates[0])
        height = (min(max(loss, low), high) - low) / (high - low)
        return _LEFT + share * (_RIGHT - _LEFT), _BOTTOM - height * (_BOTTOM - _TOP)

    for exponent in exponents:
        x = place(10.0**exponent, low)[0]
        draw.line([(x, _TOP), (x, _BOTTOM)], fill="#e6e6e6")
        draw.text((x, _BOTTOM + 8), f"1e{exponent}", fill="black", font=font, anchor="mt")
    for value in np.linspace(low, high, 5):
        y = place(rates[0], value)[1]
        draw.line([(_LEFT, y), (_RIGHT, y)], fill="#e6e6e6")
        draw.text((_LEFT - 8, y), f"{value:.3g}", fill="black", font=font, anchor="rm")
    for rate, loss in zip(rates, losses, strict=True):
        x, y = place(rate, loss)
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=_POINT)
    draw.line([place(*pair) for pair in zip(rates, smoothed, strict=True)], fill=_LINE, width=2)
    if suggestion is not None:
        x = place(suggestion, low)[0]
        draw.line([(x, _TOP), (x, _BOTTOM)], fill=_MARK, width=2)
        draw.text((x, _TOP - 6), f"{suggestion:.2g}", fill=_MARK, font=font, anchor="ms")
    draw.text(((_LEFT + _RIGHT) / 2, _HEIGHT - 12), "learning rate", fill="black", font=font, anchor="ms")
    draw.text((_LEFT, _TOP - 6), "loss", fill="black", font=font, anchor="rs")
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")
