"""The figures of a report as SVG within the page: shapes and text, no style sheet, no script, no reference."""

from collections.abc import Iterable
from html import escape

from service.validation.schema import CalibrationFigures, Claim

# Blue and orange of Okabe & Ito's palette, as in training's report: distinguishable with all kinds of colour vision.
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"
_COLOURS = {"holds": _BLUE, "does not hold": _ORANGE, "too few to say": _GREY}
_SIDE, _LEFT, _TOP = 320, 56, 12


def reliability_figure(calibration: CalibrationFigures) -> str:
    """The fraction of PNEUMONIA by predicted probability; the area of a dot grows with its number of images."""
    most = max(each.images for each in calibration.bins)
    dots = [
        f'<circle cx="{_x(each.probability):.1f}" cy="{_y(each.pneumonia):.1f}" '
        f'r="{2 + 8 * (each.images / most) ** 0.5:.1f}" fill="{_BLUE}" fill-opacity="0.65">'
        f"<title>{each.images} images: predicted {each.probability:.2f}, observed {each.pneumonia:.2f}</title></circle>"
        for each in calibration.bins
    ]
    line = " ".join(f"{_x(each.probability):.1f},{_y(each.pneumonia):.1f}" for each in calibration.bins)
    return _svg(
        _LEFT + _SIDE + 16,
        _TOP + _SIDE + 48,
        "Fraction of PNEUMONIA by predicted probability",
        [
            *_axes(),
            f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="{_GREY}" stroke-dasharray="3 3"/>',
            f'<polyline points="{line}" fill="none" stroke="{_BLUE}"/>',
            *dots,
        ],
    )


def claims_figure(claims: Iterable[Claim]) -> str:
    """Each claimed figure (a bar), the site's (a dot), and its 95 % interval (a line), in the colour of the verdict."""
    rows, shapes = list(claims), []
    left, row_height = 190, 26
    bottom = _TOP + row_height * len(rows)
    for step in range(0, 11, 2):
        x = left + _SIDE * step / 10
        shapes.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="#e4e4e4"/>')
        shapes.append(_text(x, bottom + 16, f"{step / 10:g}", "middle"))
    for number, claim in enumerate(rows):
        y = _TOP + row_height * (number + 0.5)
        shapes.append(_text(left - 8, y + 4, claim.name, "end"))
        if claim.measured:
            low, value, high = (
                left + _SIDE * v for v in (claim.measured.low, claim.measured.value, claim.measured.high)
            )
            colour = _COLOURS[claim.verdict]
            shapes.append(
                f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
                f'<circle cx="{value:.1f}" cy="{y}" r="5" fill="{colour}"/>'
            )
        x = left + _SIDE * claim.claimed
        shapes.append(f'<line x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{y + 9}" stroke="#222" stroke-width="2"/>')
    return _svg(left + _SIDE + 16, bottom + 28, "Claimed figures and those of the site", shapes)


def _axes() -> list[str]:
    shapes = [f'<rect x="{_x(0)}" y="{_y(1)}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#999"/>']
    for step in range(0, 11, 2):
        value = step / 10
        shapes.append(_text(_x(value), _y(0) + 16, f"{value:g}", "middle"))
        shapes.append(_text(_x(0) - 6, _y(value) + 4, f"{value:g}", "end"))
    middle = _y(0.5)
    shapes.append(_text(_x(0.5), _y(0) + 36, "predicted probability", "middle"))
    shapes.append(
        f'<text x="14" y="{middle}" text-anchor="middle" font-size="12" transform="rotate(-90 14 {middle})">'
        "fraction of PNEUMONIA</text>"
    )
    return shapes


def _svg(width: int, height: float, name: str, shapes: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:g}" width="{width}" role="img" aria-label="{escape(name)}">'
        f"{''.join(shapes)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12">{escape(text)}</text>'


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)
