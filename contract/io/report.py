"""The frame and the look of ``report.html``, which training and ``validate`` write: one file for screen and print."""

from html import escape

from contract.bundle import Measured

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.2rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin-bottom: .3rem; }
h2 { font-size: 1.25rem; margin-top: 2.4rem; padding-top: .8rem; border-top: 1px solid #ddd; }
h3 { font-size: 1.05rem; }
table { border-collapse: collapse; font-size: .88rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #e4e4e4; }
th { border-bottom-color: #999; }
svg, img { max-width: 100%; }
.notice { background: #fdf3e1; border-left: 4px solid #d55e00; padding: .7rem 1rem; margin: 1rem 0; }
.notice p { margin: 0; }
.quiet { color: #555; font-size: .9rem; }
.examples { display: grid; gap: 1rem; }
figure { margin: 1rem 0; break-inside: avoid; }
figcaption { font-size: .8rem; color: #444; overflow-wrap: anywhere; }
@media print { body { font-size: 11px; max-width: none; margin: 0; } table, figure { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""


def document(title: str, body: str, style: str) -> str:
    """A page that needs no other file.

    Args:
        title: text.
        body: HTML.
        style: CSS of this page alone.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A section with its heading; the parts are HTML."""
    return "\n".join([f"<section>\n<h2>{escape(title)}</h2>", *parts, "</section>"])


def interval(measured: Measured) -> str:
    """A figure with its 95 % interval, as text."""
    return f"{measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f})"
