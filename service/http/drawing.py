"""The picture that ``POST /explain`` answers: the radiograph, the heatmap over it, and below what it means.

Drawn anew from grey levels: nothing of the file goes into it but those, no metadata and no name.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contract.image import picture
from service.http.colours import veil
from service.wire import Prediction, PredictResponse

Style = Literal["overlay", "heatmap", "side-by-side"]
# Pixels. Larger originals are shrunk to it.
LONGEST_SIDE = 1600
# Of the heatmap where evidence is 1: what lies below stays visible.
_OPACITY = 0.6
# Pixels: a caption over a smaller picture would be all line breaks.
_LEAST_WIDTH = 560
_PAPER, _INK, _FAINT, _ALARM = (16, 20, 24), (236, 240, 243), (170, 180, 188), (255, 196, 77)
_NOT_A_DEVICE = (
    "Not a medical device; decision support only. Not a localisation: the colours show where the model found evidence, "
    "they do not outline a disease."
)


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: tuple[int, int, int] = _INK


def draw(style: Style, data: bytes, heatmap: NDArray[np.float32], answer: PredictResponse, *, max_pixels: int) -> bytes:
    """The PNG of an image that was read.

    Args:
        style: ``heatmap`` is the heatmap alone, one transparent pixel a place; the others have the radiograph upright,
            at its own size up to 1600 pixels a side, and a caption.
        data: the bytes of the image's file.
        heatmap: evidence for PNEUMONIA by place, float32 (h, w), 0..1.
        answer: what was read, of this one image.
        max_pixels: most pixels of the file.

    Raises:
        ImageRefused: the file does not decode.
    """
    if style == "heatmap":
        return _png(veil(heatmap))
    grey = picture(data, LONGEST_SIDE, max_pixels=max_pixels).convert("RGB")
    panels = [grey, _overlaid(grey, heatmap)] if style == "side-by-side" else [_overlaid(grey, heatmap)]
    return _png(_mounted(panels, answer))


def _overlaid(grey: Image.Image, heatmap: NDArray[np.float32]) -> Image.Image:
    colours = veil(heatmap, grey.size)
    alpha = colours.getchannel("A").point(lambda level: round(_OPACITY * level))
    return Image.composite(colours.convert("RGB"), grey, alpha)


def _mounted(panels: Sequence[Image.Image], answer: PredictResponse) -> Image.Image:
    """The panels side by side, over the caption."""
    gap = 8
    across = sum(panel.width for panel in panels) + gap * (len(panels) - 1)
    width = max(across, _LEAST_WIDTH)
    caption = _caption(width, answer)
    mounted = Image.new("RGB", (width, panels[0].height + caption.height), _PAPER)
    left = (width - across) // 2
    for panel in panels:
        mounted.paste(panel, (left, 0))
        left += panel.width + gap
    mounted.paste(caption, (0, panels[0].height))
    return mounted


def _caption(width: int, answer: PredictResponse) -> Image.Image:
    """What was read, by which model, what the colours mean, and what all of it is not."""
    size = max(14, width // 72)
    font, margin = ImageFont.load_default(size), size
    lines = [
        _Line(row, line.colour) for line in _lines(answer) for row in _wrapped(line.text, font, width - 2 * margin)
    ]
    step = round(1.4 * size)
    legend = _legend(width - 2 * margin, size)
    strip = Image.new("RGB", (width, 2 * margin + legend.height + step * len(lines)), _PAPER)
    strip.paste(legend, (margin, margin))
    pen, top = ImageDraw.Draw(strip), margin + legend.height
    for row, line in enumerate(lines):
        pen.text((margin, top + row * step), line.text, line.colour, font)
    return strip


def _lines(answer: PredictResponse) -> list[_Line]:
    entry: Prediction = answer.predictions[0]
    return [
        _Line(
            f"{entry.label}: probability {entry.probability:.4f}, threshold {entry.threshold:.4f} "
            f"(operating point {answer.operating_point})"
        ),
        *(_Line(f"Warning: {warning.detail}", _ALARM) for warning in entry.warnings),
        _Line(f"Model {answer.model.name} {answer.model.version}", _FAINT),
        _Line(_NOT_A_DEVICE, _FAINT),
    ]


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in rows that are no wider than this, broken between words."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".lstrip()
        if font.getlength(longer) > width and rows[-1]:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _legend(width: int, size: int) -> Image.Image:
    """The scale of the heatmap, as it looks over black, grey and white."""
    bar = (min(width, 24 * size), size)
    over = Image.new("RGB", bar)
    for row, level in enumerate((0, 128, 255)):
        over.paste((level, level, level), (0, row * size // 3, bar[0], size))
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    legend = Image.new("RGB", (width, 4 * size), _PAPER)
    font, pen = ImageFont.load_default(size), ImageDraw.Draw(legend)
    pen.text((0, 0), "Evidence for PNEUMONIA by place", _INK, font)
    legend.paste(_overlaid(over, ramp), (0, round(1.4 * size)))
    for value, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        pen.text((value * bar[0], 2.5 * size), f"{value:g}", _FAINT, font, anchor)
    return legend


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # 6 takes six times as long and saves an eighth
    return buffer.getvalue()
