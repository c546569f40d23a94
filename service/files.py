"""Reading files without a server, by the same way as with one."""

from collections.abc import Sequence
from pathlib import Path

from service.core import Service
from service.errors import UnreadableFile
from service.predictions import Outcome, read_all, response
from service.uploads import Upload
from service.wire import PredictResponse


async def predict_files(service: Service, files: Sequence[Path]) -> PredictResponse:
    """Read image files, as many at once as a request may hold; a file that cannot be opened is that entry's error."""
    outcomes: list[Outcome] = []
    at_once = service.settings.max_images
    async with service.alive(warm_up=False):
        for start in range(0, len(files), at_once):
            opened = [_open(path) for path in files[start : start + at_once]]
            uploads = [data for data in opened if isinstance(data, Upload)]
            read = iter(await read_all(service.main.reader, [upload.data for upload in uploads]))
            outcomes += [next(read) if isinstance(data, Upload) else data for data in opened]
    return response(service.main, service.main.default_point, [str(path) for path in files], outcomes, "command-line")


def _open(path: Path) -> Upload | UnreadableFile:
    try:
        return Upload(str(path), path.read_bytes())
    except OSError as error:
        return UnreadableFile(error.strerror or "the file cannot be opened")
