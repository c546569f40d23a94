"""Errors about uploaded images. Every message is safe to show: it contains no file content and no file name."""

# Said of a DICOM file where the extra is not installed, by the service and by training.
DICOM_MISSING = "a DICOM file is read only where the extra dicom is installed: pip install 'xray-inference[dicom]'"

CUT_SHORT = "the file ends before the picture does, or is damaged"


class ImageRefused(Exception):
    """The image cannot be analysed; the message tells the sender why."""


class UnsupportedFormat(ImageRefused):
    """The bytes do not begin as a JPEG, PNG or DICOM file does, or DICOM files cannot be read here."""


class EmptyImage(ImageRefused):
    """The upload has no bytes."""


class TruncatedImage(ImageRefused):
    """The file ends too soon or is damaged: it does not decode."""


class TooManyPixels(ImageRefused):
    """Width times height, or the memory that decoding takes, is above the limit. Detected before decoding."""


class ImageTooSmall(ImageRefused):
    """A side is too short for a radiograph. Detected before decoding."""


class AspectRatio(ImageRefused):
    """The image is so long and narrow that no anatomy would be left after squashing. Detected before decoding."""


class AnimatedImage(ImageRefused):
    """An animated PNG: it is ambiguous which frame is meant. Detected before decoding."""


class UnsupportedJpeg(ImageRefused):
    """A JPEG coding (lossless, arithmetic, hierarchical, 12-bit) or colour space (CMYK) that is not supported."""


class TooMuchMetadata(ImageRefused):
    """More segments, chunks, elements or levels of nesting than any legitimate writer produces."""


class UnsupportedTransferSyntax(ImageRefused):
    """A DICOM object in a transfer syntax that is not supported."""


class UnusableObject(ImageRefused):
    """A DICOM object without a picture, or whose attributes contradict each other or the picture."""


class UnsupportedModality(ImageRefused):
    """A DICOM object that is not a digital radiograph."""


class ForProcessing(ImageRefused):
    """A DICOM object with the detector's raw values (For Processing)."""


class MultiFrame(ImageRefused):
    """A DICOM object of several frames: it is ambiguous which one is meant."""


class UnsupportedView(ImageRefused):
    """A DICOM object that says it is a lateral view (``XRAY_DICOM_CHECKS=refuse``)."""


class UnsupportedBodyPart(ImageRefused):
    """A DICOM object that says it shows another part of the body (``XRAY_DICOM_CHECKS=refuse``)."""


class UnsupportedAge(ImageRefused):
    """A DICOM object whose patient has an age that the model is not meant for (``XRAY_DICOM_CHECKS=refuse``)."""
