"""The pictures of the documentation are of the running page."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from tools.screenshots import take


def test_they_show_a_radiograph_with_its_heatmap(browser: Browser, tmp_path: Path) -> None:
    take(browser, tmp_path)
    pictures = {
        path.name: np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"), int)
        for path in tmp_path.glob("*.png")
    }
    assert {name: pixels.shape for name, pixels in pictures.items()} == {
        "page.png": (768, 1366, 3),
        "phone.png": (760, 360, 3),
    }
    for pixels in pictures.values():
        red, _, blue = np.moveaxis(pixels, 2, 0)
        assert ((red - blue) > 100).sum() > 1000  # the colours of evidence; radiographs are grey, and the page is blue
