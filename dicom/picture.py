"""The bytes of a DICOM object to what the network sees, and to what people see."""

from PIL import Image
from pydicom import Dataset

from contract.cost import Cost, TooExpensive
from contract.errors import CUT_SHORT, ImageRefused, TruncatedImage, UnusableObject
from contract.image import IMAGE_CONTRACT, LEAST_SIDE, MAX_PIXELS, Decoded, Note, check_size, frame_of, squash
from dicom.attributes.context import Context, age, check_context
from dicom.attributes.image import NEEDED, PixelFormat, check_kind, pixel_format
from dicom.format.file import DicomFile, read_file
from dicom.pixels.cost import cost_of
from dicom.pixels.grey import to_grey
from dicom.pixels.stored import stored_values

_COLOUR = Note("colour_image", "the DICOM object holds a colour picture: its luma was analysed")


def decode(
    data: bytes,
    context: Context,
    *,
    max_pixels: int = MAX_PIXELS,
    contract: int = IMAGE_CONTRACT,
    limit: Cost | None = None,
) -> Decoded:
    """What the network sees of an object; as ``contract.image.decode``. Geometry is not resampled.

    Args:
        data: the whole file.
        context: which objects the model is meant for.
        max_pixels: most pixels (Rows x Columns) that are decoded.
        contract: by whose rules it becomes pixels: one of ``contract.image.IMAGE_CONTRACTS``.
        limit: what the decoding may cost; None: whatever it takes.

    Returns:
        the pixels, with notes and the patient's age.

    Raises:
        ImageRefused: the object cannot be used.
        TooExpensive: it would cost more than the limit.
    """
    file, pixels = _open(data, max_pixels, limit)
    notes = check_context(file.dataset, context)
    grey, of_pixels = _grey(file, pixels, LEAST_SIDE[contract])
    frame = frame_of(grey, contract)
    return Decoded(squash(grey, frame), turned=False, frame=frame, notes=(*notes, *of_pixels), age=age(file.dataset))


def picture(data: bytes, longest: int, *, max_pixels: int = MAX_PIXELS, limit: Cost | None = None) -> Image.Image:
    """The same picture for people, as ``contract.image.picture``.

    Args:
        data: the whole file.
        longest: most pixels a side; a larger picture is shrunk, with its aspect ratio kept.
        max_pixels: most pixels (Rows x Columns) that are decoded.
        limit: what the decoding may cost; None: whatever it takes.

    Returns:
        a picture of mode "L".

    Raises:
        ImageRefused: the object cannot be used.
        TooExpensive: it would cost more than the limit.
    """
    file, pixels = _open(data, max_pixels, limit)
    grey, _ = _grey(file, pixels, longest)
    grey.thumbnail((longest, longest))
    return grey


def _open(data: bytes, max_pixels: int, limit: Cost | None) -> tuple[DicomFile, PixelFormat]:
    """All that is known and can be refused before anything is decoded."""
    file = read_file(data, NEEDED)
    pixels = _checked(file.dataset, max_pixels)
    if file.elements.pixels is None:
        raise UnusableObject("the DICOM object has no Pixel Data: it holds no picture")
    if limit and not (cost := cost_of(file.syntax, pixels, len(data))).fits(limit):
        raise TooExpensive(cost)
    return file, pixels


def _checked(dataset: Dataset, max_pixels: int) -> PixelFormat:
    check_kind(dataset)
    pixels = pixel_format(dataset)
    check_size(pixels.columns, pixels.rows, max_pixels)
    return pixels


def _grey(file: DicomFile, pixels: PixelFormat, least: int) -> tuple[Image.Image, list[Note]]:
    try:
        stored = stored_values(file, pixels, least)
    except (ImageRefused, MemoryError):
        raise
    except Exception as error:  # a decoder raises nearly anything over hostile bytes; all of it means "does not decode"
        raise TruncatedImage(CUT_SHORT) from error
    if pixels.samples == 1:
        return to_grey(stored, pixels, file.dataset)
    return Image.fromarray(stored), [_COLOUR]
