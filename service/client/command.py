"""The command ``predict``: analyses files and folders, with the model in this process or with a remote service."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from contract.formats import SUFFIXES
from contract.io.streams import discard_output
from service.client.objects import Kind, ObjectPredictor, ObjectWriter
from service.client.options import check_options, read_key, url_option
from service.client.predicting import Predictor, PredictorStopped, predict_many
from service.client.progress import ProgressDisplay, print_error
from service.client.result_file import RESUMABLE, ResultFile, format_of
from service.client.result_sink import ResultSink
from service.client.results import Format
from service.client.targets import Target, find_targets
from service.settings import Settings, SettingsError
from service.wire import PredictResponse

# Loads the model in this process for the duration of the context. Passed in, because a client needs no model.
OpenLocal = Callable[[Settings], AbstractAsyncContextManager[ObjectPredictor]]
DONE, FAILED, INTERRUPTED = 0, 1, 130  # exit codes


class ObjectsMissing(Exception):
    """Some of the DICOM files that were asked for could not be written; the message is one line."""


_NAMED = 5  # of the files skipped


def predict(settings: Settings, arguments: argparse.Namespace, open_local: OpenLocal) -> int:
    """Analyse files, and print the results or write them to a file.

    Args:
        settings: the effective settings.
        arguments: parsed from the options of ``add_options``.
        open_local: loads the model in this process; called only without ``--url``.

    Returns:
        The exit code: 0 if every file was analysed, 1 if not, 130 after Ctrl-C.

    Raises:
        BundleError, DeviceError: the local model cannot be loaded.
        SettingsError: wrong usage.
    """
    check_options(arguments)
    kind = _format(arguments)
    try:
        return _predict_files(settings, arguments, kind, open_local)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        discard_output()
        if not isinstance(error, BrokenPipeError):  # else the process that reads stdout has closed it
            print_error(f"cannot write the results: {error.strerror}")
        return FAILED


def _format(arguments: argparse.Namespace) -> Format:
    kind: Format = "json" if arguments.json else arguments.format
    if kind is None:
        kind = format_of(arguments.output) if arguments.output else "table"
    if arguments.resume and kind not in RESUMABLE:
        raise SettingsError(f"--resume works with the formats {' and '.join(RESUMABLE)}, not with {kind}")
    return kind


def _predict_files(settings: Settings, arguments: argparse.Namespace, kind: Format, open_local: OpenLocal) -> int:
    file = _result_file(arguments, kind)
    sink, complete = ResultSink(kind, file), False
    try:
        skipped: list[str] = []
        targets = [target for target in find_targets(arguments.files, skipped.append) if not sink.has(target)]
        _report_skipped(skipped)
        results_scroll = file is None and kind in RESUMABLE and sys.stdout.isatty()
        with ProgressDisplay(len(targets), quiet=results_scroll) as display:
            opening = _open_remote(settings, arguments, display) if arguments.url else open_local(settings)
            concurrency = int(url_option(arguments, "parallel")) if arguments.url else settings.max_images
            limits = {"concurrency": concurrency, "max_bytes": settings.max_body_bytes}
            asyncio.run(_predict_all(_with_objects(opening, arguments), targets, sink, display, **limits))
        complete = True
    except ObjectsMissing as missing:
        print_error(str(missing))
        complete = True
        return FAILED
    except PredictorStopped as stopped:
        print_error(f"{stopped}; {len(targets) - sink.added} of {len(targets)} files have no result")
        return FAILED
    finally:
        if message := sink.close(complete=complete):
            print_error(message)
    if file:
        print_error(sink.summary())
    elif sink.failed:
        print_error(f"{sink.failed} of {len(targets)} files failed")
    return FAILED if sink.failed else DONE


def _result_file(arguments: argparse.Namespace, kind: Format) -> ResultFile | None:
    if arguments.output is None:
        return None
    return ResultFile(arguments.output, kind, resume=arguments.resume, force=arguments.force)


def _report_skipped(paths: Sequence[str]) -> None:
    if paths:
        names = ", ".join(Target(path).name for path in paths[:_NAMED])
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        print_error(f"{len(paths)} files skipped, whose names do not end in {', '.join(SUFFIXES)}: {names}{more}")


async def _predict_all(  # noqa: PLR0913  input, output and limits
    opening: AbstractAsyncContextManager[Predictor],
    targets: Sequence[Target],
    sink: ResultSink,
    display: ProgressDisplay,
    *,
    concurrency: int,
    max_bytes: int,
) -> None:
    def emit(answer: PredictResponse) -> None:
        sink.add(answer)
        display.advance()

    if not targets:
        return
    async with opening as predictor:
        await predict_many(predictor, targets, emit, concurrency=concurrency, max_bytes=max_bytes)


@asynccontextmanager
async def _with_objects(
    opening: AbstractAsyncContextManager[ObjectPredictor], arguments: argparse.Namespace
) -> AsyncIterator[Predictor]:
    """The predictor, or one that also writes the DICOM files that the options ask for.

    Raises:
        ObjectsMissing: at the end, if some could not be written.
    """
    chosen: dict[Kind, Path | None] = {"report": arguments.sr, "heatmap": arguments.heatmap}
    folders = {kind: folder for kind, folder in chosen.items() if folder is not None}
    async with opening as predictor:
        if not folders:
            yield predictor
            return
        writer = ObjectWriter(predictor, folders)
        yield writer
    if writer.others:
        print_error(f"{writer.others} files are not DICOM files: nothing was written about them")
    if writer.failures:
        raise ObjectsMissing(f"{len(writer.failures)} DICOM files could not be written: {writer.failures[0]}")


@asynccontextmanager
async def _open_remote(
    settings: Settings, arguments: argparse.Namespace, display: ProgressDisplay
) -> AsyncIterator[ObjectPredictor]:
    """Connect to the service at ``--url``. httpx is imported only here: without ``--url`` it is not needed."""
    from service.client import address, remote

    server = address.Server(
        url=address.server_url(arguments.url),
        operating_point=settings.operating_point,
        population=settings.population,
        key=read_key(arguments.key_file),
        ca_file=arguments.ca_file,
        timeout_s=url_option(arguments, "timeout"),
        give_up_after_s=url_option(arguments, "give_up_after"),
    )
    async with remote.connect(server, display.print) as predictor:
        yield predictor
