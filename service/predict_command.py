"""``predict``: files and folders, read by the model in this process or by a service at an address."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.asking import Asker, Stopped, ask_all
from service.predict_options import at_url, read_key, wrong_use
from service.result_file import RESUMABLE, ResultFile, format_of
from service.results import Format
from service.screen import Screen, complain
from service.settings import Settings, SettingsError
from service.sheet import Sheet
from service.targets import Target, find_targets
from service.wire import PredictResponse

READ, NOT_ALL_READ, INTERRUPTED = 0, 1, 130


def predict(settings: Settings, arguments: argparse.Namespace) -> int:
    """Read files and print or write the answers.

    Returns:
        The exit code: 0 if each file has its answer, 1 if not, 130 after Ctrl-C.

    Raises:
        BundleError, DeviceError: there is no model to ask.
        SettingsError: wrong use.
    """
    wrong_use(arguments)
    kind = _format(arguments)
    try:
        return _read(settings, arguments, kind)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the answers has enough of them
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


def _read(settings: Settings, arguments: argparse.Namespace, kind: Format) -> int:
    file = ResultFile(arguments.output, kind, resume=arguments.resume) if arguments.output else None
    sheet, complete = Sheet(kind, file), False
    try:
        targets = [target for target in find_targets(arguments.files) if not sheet.has(target)]
        scrolls = file is None and kind in RESUMABLE and sys.stdout.isatty()
        with Screen(len(targets), quiet=scrolls) as screen:
            asyncio.run(_ask(settings, arguments, targets, sheet, screen))
        complete = True
    except Stopped as stopped:
        complain(f"{stopped}; {len(targets) - sheet.added} of {len(targets)} have no answer")
        return NOT_ALL_READ
    finally:
        if left := sheet.close(complete=complete):
            complain(left)
    if sheet.failed:
        complain(f"{sheet.failed} of {len(targets)} were not read")
    return NOT_ALL_READ if sheet.failed else READ


async def _ask(
    settings: Settings, arguments: argparse.Namespace, targets: Sequence[Target], sheet: Sheet, screen: Screen
) -> None:
    def emit(answer: PredictResponse) -> None:
        sheet.add(answer)
        screen.advance()

    if not targets:
        return
    at_once = int(at_url(arguments, "parallel")) if arguments.url else settings.max_images
    async with _asker(settings, arguments, screen) as asker:
        await ask_all(asker, targets, emit, at_once=at_once, max_bytes=settings.max_body_bytes)


@asynccontextmanager
async def _asker(settings: Settings, arguments: argparse.Namespace, screen: Screen) -> AsyncIterator[Asker]:
    """Who is asked. Only what that takes is imported: a client starts at once, and needs no model."""
    if arguments.url is None:
        from service import commands, files, logs

        logs.configure_logging("error")
        service = commands.build_service(settings)
        async with service.alive(warm_up=False):
            yield files.Here(service)
        return
    from service import address, client

    server = address.Server(
        url=address.server_url(arguments.url),
        operating_point=settings.operating_point,
        key=read_key(arguments.key_file),
        ca_file=arguments.ca_file,
        timeout_s=at_url(arguments, "timeout"),
        give_up_after_s=at_url(arguments, "give_up_after"),
    )
    async with client.connected(server, screen.say) as asker:
        yield asker
