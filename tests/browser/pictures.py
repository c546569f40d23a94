"""Reads pixels of a rendered page."""

import io

from PIL import Image
from playwright.sync_api import Page


def pixel(page: Page, selector: str, at: tuple[float, float]) -> tuple[int, int, int]:
    """Red, green and blue at a position within an element, in CSS pixels from its top left."""
    shot = Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")
    red, green, blue = shot.getpixel((round(at[0]), round(at[1])))  # type: ignore[misc]
    return int(red), int(green), int(blue)
