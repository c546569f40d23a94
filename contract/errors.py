"""Why an upload cannot be used. Every message is safe to show: it holds no file content and no file name."""

CUT_SHORT = "the file ends before the picture does, or is damaged"


class ImageRefused(Exception):
    """An upload that no probability can be given for; the message says why, in words for its sender."""


class UnsupportedFormat(ImageRefused):
    """The bytes do not begin as a JPEG or PNG does, or hold several pictures (MPO)."""


class EmptyImage(ImageRefused):
    """There are no bytes."""


class TruncatedImage(ImageRefused):
    """A JPEG or PNG that ends too soon or is damaged: it does not decode."""


class TooManyPixels(ImageRefused):
    """Width times height is over the limit. Known before decoding."""


class ImageTooSmall(ImageRefused):
    """A side is shorter than anything a radiograph could be read from. Known before decoding."""


class AspectRatio(ImageRefused):
    """So long and narrow that squashing it to a square would leave no anatomy. Known before decoding."""


class AnimatedImage(ImageRefused):
    """An animated PNG: which frame is meant cannot be known. Known before decoding."""


class UnsupportedJpeg(ImageRefused):
    """A JPEG coding (lossless, arithmetic, hierarchical, 12-bit) or colour space (CMYK) that is not read."""


class TooMuchMetadata(ImageRefused):
    """A PNG with more ancillary chunks than any honest writer makes."""
