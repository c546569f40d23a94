"""The image that ``POST /explain`` returns: the radiograph with the heatmap over it, and a caption below.

It is drawn from the decoded grey levels only: no metadata and no file name of the upload gets into it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.wire import Caution, Prediction, PredictResponse

Style = Literal["overlay", "heatmap", "side-by-side"]
# Pixels. Larger originals are scaled down to it.
LONGEST_SIDE = 1600
# The colour map of the heatmaps: plasma, which keeps its order for every kind of colour vision and in greyscale print.
# By Nathaniel Smith and Stéfan van der Walt, in the public domain (CC0), as in matplotlib's ``_cm_listed.py``. Its
# lightness increases monotonically, so two values can be ordered without telling hues apart. None of its colours is
# grey, so it stands out from a radiograph (the middle of cividis would not). page/styles/colours.css repeats them.
# In sRGB at 0, 1/8, ... 1. Linear interpolation between them stays within 5 of 255 levels of the full table.
PLASMA = (
    (13, 8, 135),
    (76, 2, 161),
    (126, 3, 168),
    (170, 35, 149),
    (204, 71, 120),
    (229, 107, 93),
    (248, 148, 65),
    (253, 195, 40),
    (240, 249, 33),
)
# Opacity of the overlay where evidence is 1: the radiograph below stays visible.
_OPACITY = 0.6
# Pixels. A caption in a narrower image would consist of line breaks.
_MIN_WIDTH = 560
_BACKGROUND, _TEXT, _SECONDARY, _WARNING = (16, 20, 24), (236, 240, 243), (170, 180, 188), (255, 196, 77)
_NOT_A_DEVICE = (
    "Not a medical device; not for diagnostic use; decision support only. Not a localisation: the colours show where "
    "the model found evidence, they do not outline a disease."
)

_UNLIKE = "outside the training data (unlike the radiographs the model was trained on): the result is unreliable"


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: tuple[int, int, int] = _TEXT


def coloured_heatmap(evidence: NDArray[np.float32], size: tuple[int, int] | None = None) -> Image.Image:
    """The heatmap as an image to overlay on a radiograph: transparent at 0, opaque from 0.5 on.

    Args:
        evidence: float32 (h, w), 0..1.
        size: width and height in pixels, interpolated bilinearly. None: one pixel per heatmap cell.

    Returns:
        an image of mode "RGBA".
    """
    levels = Image.fromarray(np.rint(255 * evidence).astype(np.uint8))
    if size:
        levels = levels.resize(size, Image.Resampling.BILINEAR)
    coloured = levels.copy()
    coloured.putpalette(_palette())
    coloured = coloured.convert("RGB")
    coloured.putalpha(levels.point(lambda level: min(2 * level, 255)))
    return coloured


def draw(
    style: Style, picture: Image.Image | None, heatmap: NDArray[np.float32], response: PredictResponse
) -> Image.Image:
    """The picture that explains one analysed image: RGB, or RGBA if it is the heatmap alone.

    Args:
        style: ``heatmap`` is the heatmap alone, one pixel with transparency per cell. The others show the radiograph
            upright, at its own size up to 1600 pixels a side, with a caption.
        picture: the radiograph, grey and upright, at most 1600 pixels a side; None if only the heatmap is drawn.
        heatmap: evidence for PNEUMONIA per cell, float32 (h, w), 0..1.
        response: the response to ``/predict`` for this one image.
    """
    if picture is None:
        return coloured_heatmap(heatmap)
    grey = picture.convert("RGB")
    panels = [grey, _overlay(grey, heatmap)] if style == "side-by-side" else [_overlay(grey, heatmap)]
    return _compose(panels, response)


def _overlay(grey: Image.Image, heatmap: NDArray[np.float32]) -> Image.Image:
    colours = coloured_heatmap(heatmap, grey.size)
    alpha = colours.getchannel("A").point(lambda level: round(_OPACITY * level))
    return Image.composite(colours.convert("RGB"), grey, alpha)


def _compose(panels: Sequence[Image.Image], response: PredictResponse) -> Image.Image:
    """The panels side by side, above the caption."""
    gap = 8
    panels_width = sum(panel.width for panel in panels) + gap * (len(panels) - 1)
    width = max(panels_width, _MIN_WIDTH)
    caption = _caption(width, response)
    composed = Image.new("RGB", (width, panels[0].height + caption.height), _BACKGROUND)
    left = (width - panels_width) // 2
    for panel in panels:
        composed.paste(panel, (left, 0))
        left += panel.width + gap
    composed.paste(caption, (0, panels[0].height))
    return composed


def _caption(width: int, response: PredictResponse) -> Image.Image:
    """The result, the model, the legend of the colours, and the disclaimer."""
    size = max(14, width // 72)
    font, margin = ImageFont.load_default(size), size
    lines = [_Line(row, line.colour) for line in _lines(response) for row in _wrap(line.text, font, width - 2 * margin)]
    line_height = round(1.4 * size)
    legend = _legend(width - 2 * margin, size)
    caption = Image.new("RGB", (width, 2 * margin + legend.height + line_height * len(lines)), _BACKGROUND)
    caption.paste(legend, (margin, margin))
    canvas, top = ImageDraw.Draw(caption), margin + legend.height
    for row, line in enumerate(lines):
        canvas.text((margin, top + row * line_height), line.text, line.colour, font)
    return caption


def _lines(response: PredictResponse) -> list[_Line]:
    entry: Prediction = response.predictions[0]
    population = "" if response.population is None else f", population {response.population}"
    return [
        _Line(
            f"{entry.label}: probability {entry.probability:.4f}, threshold {entry.threshold:.4f} "
            f"(operating point {response.operating_point}{population})"
        ),
        *(_Line(f"Warning: {_for_readers(warning)}", _WARNING) for warning in entry.warnings),
        _Line(f"Model {response.model.name} {response.model.version}{_of_site(response)}", _SECONDARY),
        _Line(_NOT_A_DEVICE, _SECONDARY),
    ]


def _for_readers(warning: Caution) -> str:
    """A warning in words for readers of the picture; ``detail`` names calls and limits, for programmers."""
    return _UNLIKE if warning.code == "unlike_training_data" else warning.detail


def _of_site(response: PredictResponse) -> str:
    return "" if response.site is None else f", operating points and calibration of {response.site}"


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in rows of at most ``width`` pixels, broken between words; a longer word gets a row of its own."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".lstrip()
        if font.getlength(longer) > width and rows[-1]:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _legend(width: int, size: int) -> Image.Image:
    """The colour scale of the heatmap, as it looks over black, grey and white."""
    bar_size = (min(width, 24 * size), size)
    background = Image.new("RGB", bar_size)
    for row, level in enumerate((0, 128, 255)):
        background.paste((level, level, level), (0, row * size // 3, bar_size[0], size))
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    legend = Image.new("RGB", (width, 4 * size), _BACKGROUND)
    font, canvas = ImageFont.load_default(size), ImageDraw.Draw(legend)
    canvas.text((0, 0), "Where the model found evidence for PNEUMONIA", _TEXT, font)
    legend.paste(_overlay(background, ramp), (0, round(1.4 * size)))
    for value, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        canvas.text((value * bar_size[0], 2.5 * size), f"{value:g}", _SECONDARY, font, anchor)
    return legend


def png(image: Image.Image) -> bytes:
    """A picture as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # level 6 takes six times as long and saves an eighth of the bytes
    return buffer.getvalue()


def _palette() -> bytes:
    """Red, green and blue of all 256 levels, interleaved."""
    steps = np.linspace(0, 255, len(PLASMA))
    columns = [np.interp(np.arange(256), steps, column) for column in zip(*PLASMA, strict=True)]
    palette: NDArray[np.uint8] = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return palette.tobytes()
