"""``predict``: files and folders, predicted by the model in this process or by a service at an address."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from service.client.options import at_url, read_key, wrong_use
from service.client.predicting import Predictor, PredictorStopped, predict_many
from service.client.progress import ProgressDisplay, complain
from service.client.result_file import RESUMABLE, ResultFile, format_of
from service.client.result_sink import ResultSink
from service.client.results import Format
from service.client.targets import Target, find_targets
from service.settings import Settings, SettingsError
from service.wire import PredictResponse

# Loads the model of this process for as long as the context lasts. It is handed in: a client needs no model.
OpenLocal = Callable[[Settings], AbstractAsyncContextManager[Predictor]]
READ, NOT_ALL_READ, INTERRUPTED = 0, 1, 130


def predict(settings: Settings, arguments: argparse.Namespace, open_local: OpenLocal) -> int:
    """Predict files and print or write the answers.

    Args:
        settings: the effective settings.
        arguments: of ``add_options``.
        open_local: gives the model of this process; called only without ``--url``.

    Returns:
        The exit code: 0 if each file has its answer, 1 if not, 130 after Ctrl-C.

    Raises:
        BundleError, DeviceError: there is no model to ask.
        SettingsError: wrong use.
    """
    wrong_use(arguments)
    kind = _format(arguments)
    try:
        return _read(settings, arguments, kind, open_local)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_ALL_READ
    except OSError as error:
        complain(f"the answers cannot be written: {error.strerror}")
        return NOT_ALL_READ


def _format(arguments: argparse.Namespace) -> Format:
    kind: Format = "json" if arguments.json else arguments.format
    if kind is None:
        kind = format_of(arguments.output) if arguments.output else "table"
    if arguments.resume and kind not in RESUMABLE:
        raise SettingsError(f"--resume goes with {' and '.join(RESUMABLE)}, not with {kind}")
    return kind


def _read(settings: Settings, arguments: argparse.Namespace, kind: Format, open_local: OpenLocal) -> int:
    file = ResultFile(arguments.output, kind, resume=arguments.resume) if arguments.output else None
    sink, complete = ResultSink(kind, file), False
    try:
        targets = [target for target in find_targets(arguments.files) if not sink.has(target)]
        scrolls = file is None and kind in RESUMABLE and sys.stdout.isatty()
        with ProgressDisplay(len(targets), quiet=scrolls) as display:
            predictor = _remote(settings, arguments, display) if arguments.url else open_local(settings)
            at_once = int(at_url(arguments, "parallel")) if arguments.url else settings.max_images
            asyncio.run(_ask(predictor, targets, sink, display, at_once=at_once, max_bytes=settings.max_body_bytes))
        complete = True
    except PredictorStopped as stopped:
        complain(f"{stopped}; {len(targets) - sink.added} of {len(targets)} have no answer")
        return NOT_ALL_READ
    finally:
        if left := sink.close(complete=complete):
            complain(left)
    if sink.failed:
        complain(f"{sink.failed} of {len(targets)} were not read")
    return NOT_ALL_READ if sink.failed else READ


async def _ask(  # noqa: PLR0913  what is asked, for what, and where the answers go
    opening: AbstractAsyncContextManager[Predictor],
    targets: Sequence[Target],
    sink: ResultSink,
    display: ProgressDisplay,
    *,
    at_once: int,
    max_bytes: int,
) -> None:
    def emit(answer: PredictResponse) -> None:
        sink.add(answer)
        display.advance()

    if not targets:
        return
    async with opening as predictor:
        await predict_many(predictor, targets, emit, at_once=at_once, max_bytes=max_bytes)


@asynccontextmanager
async def _remote(
    settings: Settings, arguments: argparse.Namespace, display: ProgressDisplay
) -> AsyncIterator[Predictor]:
    """The service at an address. Only what that takes is imported."""
    from service.client import address
    from service.client import remote as client

    server = address.Server(
        url=address.server_url(arguments.url),
        operating_point=settings.operating_point,
        key=read_key(arguments.key_file),
        ca_file=arguments.ca_file,
        timeout_s=at_url(arguments, "timeout"),
        give_up_after_s=at_url(arguments, "give_up_after"),
    )
    async with client.connected(server, display.say) as predictor:
        yield predictor
