"""Errors about uploaded images. Every message is safe to show: it contains no file content and no file name."""

CUT_SHORT = "the file ends before the picture does, or is damaged"


class ImageRefused(Exception):
    """The image cannot be analysed; the message tells the sender why."""


class UnsupportedFormat(ImageRefused):
    """The bytes do not begin as a JPEG or PNG does, or hold several pictures (MPO)."""


class EmptyImage(ImageRefused):
    """The upload has no bytes."""


class TruncatedImage(ImageRefused):
    """A JPEG or PNG that ends too soon or is damaged: it does not decode."""


class TooManyPixels(ImageRefused):
    """Width times height is above the limit. Detected before decoding."""


class ImageTooSmall(ImageRefused):
    """A side is too short for a radiograph. Detected before decoding."""


class AspectRatio(ImageRefused):
    """The image is so long and narrow that no anatomy would be left after squashing. Detected before decoding."""


class AnimatedImage(ImageRefused):
    """An animated PNG: it is ambiguous which frame is meant. Detected before decoding."""


class UnsupportedJpeg(ImageRefused):
    """A JPEG coding (lossless, arithmetic, hierarchical, 12-bit) or colour space (CMYK) that is not supported."""


class TooMuchMetadata(ImageRefused):
    """A PNG with more ancillary chunks than any legitimate writer produces."""
