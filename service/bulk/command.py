"""The command ``bulk``."""

import argparse
import asyncio
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from contract.bundle import Bundle
from contract.formats import SUFFIXES
from service.client.progress import print_error
from service.settings import Settings, SettingsError
from service.settings.options import LOCAL, add_settings

if TYPE_CHECKING:  # they need pyarrow, which --help does not
    from service.bulk.job import Engine
    from service.bulk.part import PartCounts
    from service.bulk.plan import Plan
    from service.bulk.progress import RunProgress
    from service.bulk.rules import Rules
    from service.bulk.sources.items import Item
    from service.bulk.store import Store

_DESCRIPTION = """\
Analyse whole archives into a table: part-NNNNNN.parquet files, one row for each image, in the folder or prefix --out.
SOURCE is a folder, a pattern ("archive/**/*.dcm"), a .tar or .zip (read in place), or a .csv or .parquet with a
column uri; each local, or s3://BUCKET/... A bad image is a row with a problem. --resume continues a run that was
interrupted, in whatever way. Keys and address of a store: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL.
Exit code 0: all images were analysed; 1: some failed, or the run ended early; 2: wrong usage; 130: Ctrl-C.
"""
DONE, FAILED, INTERRUPTED = 0, 1, 130  # exit codes
_PART_SIZE, _MAX_PART_SIZE = 256, 100_000
_SUCCESS = "_SUCCESS.json"
_ENGINES = ("local", "ray")
# Settings that its help lists: each worker has one thread, and there are no requests.
_SHOWN = (LOCAL - {"threads", "decode_threads", "max_images"}) | {"dicom_checks", "dicom_ages"}
_FOOTERS = 16  # read at a time


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line, with its settings."""
    # Its --workers replaces the setting of that name, which is about the service.
    parser = commands.add_parser(
        "bulk", help="analyse whole archives into a table", description=_DESCRIPTION, conflict_handler="resolve"
    )
    add_settings(parser, _SHOWN)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bulk``, except the settings."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="what to analyse; may be left out with --resume")
    parser.add_argument("--out", required=True, metavar="WHERE", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument("--engine", choices=_ENGINES, default="local", help="default: %(default)s")
    parser.add_argument("--address", metavar="HOST:PORT", help="of the Ray cluster, with --engine ray")
    parser.add_argument(
        "--workers",
        dest="processes",
        type=_positive,
        metavar="N",
        help="most processes. Default: one for each usable CPU.",
    )
    parser.add_argument("--part-size", type=_positive, metavar="N", help=f"images per part. Default: {_PART_SIZE}.")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in WHERE: process the parts that are missing"
    )
    parser.add_argument(
        "--keep-ids",
        action="store_true",
        help="also write patient ID, accession number and study UID of DICOM objects",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the command. Returns the exit code.

    Raises:
        BundleError, DeviceError: the model cannot be used.
        SettingsError: wrong usage.
        ModuleNotFoundError: an extra is not installed.
    """
    from service.bulk.errors import StorageError

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the workers, and removes unfinished files
    try:
        return _run(arguments, settings)
    except KeyboardInterrupt:
        print_error("interrupted; continue with --resume")
        return INTERRUPTED
    except StorageError as error:
        print_error(f"{error}; continue with --resume")
        return FAILED


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    from service.bulk.job import Job
    from service.bulk.local import start_logging
    from service.bulk.plan import part_name
    from service.bulk.progress import RunProgress
    from service.bulk.store import open_store

    _check(arguments)
    start_logging()
    where = arguments.out if arguments.out.startswith("s3://") else os.path.abspath(arguments.out)  # noqa: PTH100
    store = open_store(where)
    with ExitStack() as claims:
        plan = _planned(arguments, settings, store, lambda: claims.enter_context(store.claimed()))
        names = store.names()
        done = [number for number in range(plan.parts) if part_name(number) in names]
        missing = plan.parts - len(done)
        if missing and _SUCCESS in names:  # of a run whose parts have been removed since: it is not complete any more
            store.remove(_SUCCESS)
        job = Job(where, settings.model_dump(mode="json"), missing, arguments.processes, arguments.address)
        numbers = (number for number in range(plan.parts) if part_name(number) not in names)
        with RunProgress(plan, _counts_of(store, plan, done)) as progress:
            _engine(arguments.engine)(job, numbers, progress.done)
        return _finish(store, plan, progress)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.address and arguments.engine != "ray":
        raise SettingsError("--address is for --engine ray")
    if arguments.engine == "ray":
        from service.bulk.ray_engine import check_cluster

        check_cluster(arguments.address)
    if not arguments.sources and not arguments.resume:
        raise SettingsError("name at least one SOURCE")
    if arguments.part_size and arguments.part_size > _MAX_PART_SIZE:
        raise SettingsError(f"--part-size: at most {_MAX_PART_SIZE}")


def _planned(arguments: argparse.Namespace, settings: Settings, store: "Store", claim: Callable[[], None]) -> "Plan":
    """The plan of the run: a new one, or that of the run that is resumed. ``claim`` is called before either is used."""
    from service.bulk.plan import plan_of, read_plan, write_plan
    from service.bulk.rules import difference
    from service.inference.loading.bundles import read_main
    from service.inference.loading.graphs import try_bundle

    plan = read_plan(store)
    if plan and not arguments.resume:
        raise SettingsError(f"--out: {arguments.out} holds a run already: continue it with --resume")
    if plan:
        claim()
    bundle = read_main(settings)
    rules = _rules(arguments, settings, bundle, plan)
    with _found(arguments.sources) as items:
        if plan:
            wanted = plan_of(rules, items) if arguments.sources else rules
            if what := difference(plan, wanted):
                raise SettingsError(f"--resume: the plan in {arguments.out} differs: {what}")
            return plan
        if not arguments.sources:
            raise SettingsError(f"--resume: there is no plan in {arguments.out}: name its SOURCE")
        asyncio.run(try_bundle(settings, bundle))
        claim()
        if read_plan(store):
            raise SettingsError(f"--out: {arguments.out} holds a run by now: --resume goes on with it")
        if leftover := sorted(name for name in store.names() if name.startswith(("part-", _SUCCESS))):
            raise SettingsError(f"--out: {arguments.out} holds {leftover[0]}, but no plan: choose another place")
        return write_plan(store, rules, items)


@contextmanager
def _found(sources: Sequence[str]) -> "Iterator[Iterator[Item]]":
    """The items of the sources, and at the end a line about files that are left out."""
    from service.bulk.sources.finding import find_items

    left_out = Counter[str]()
    yield find_items(sources, lambda _: left_out.update(["files"]))
    if count := left_out["files"]:
        print_error(f"{count} files left out, whose names do not end in {', '.join(SUFFIXES)}")


def _rules(arguments: argparse.Namespace, settings: Settings, bundle: Bundle, plan: "Plan | None") -> "Rules":
    """The rules that the options give; where an option is missing, that of the existing plan, if there is one."""
    from service.bulk.rules import rules_for
    from service.inference import dicom
    from service.inference.loading.graphs import expected_graph
    from service.inference.session import CPU, CUDA, has_cuda, max_batch_of

    graph, _ = expected_graph(settings, bundle)
    provider = CPU if settings.device == "cpu" or not has_cuda() else CUDA
    batch = plan.batch if plan and not settings.max_batch else max_batch_of(settings, provider)
    part_size = arguments.part_size or (plan.part_size if plan else _PART_SIZE)
    options = {"part_size": part_size, "batch": batch, "keep_ids": arguments.keep_ids}
    return rules_for(settings, bundle, graph, **options, dicom=dicom.is_installed())


def _counts_of(store: "Store", plan: "Plan", numbers: Iterable[int]) -> "list[PartCounts]":
    """The counts of parts that an earlier run has done."""
    from service.bulk.part import counts_of

    with ThreadPoolExecutor(_FOOTERS) as threads:
        return list(threads.map(partial(counts_of, store, plan), numbers))


def _engine(name: str) -> "Engine":
    if name == "ray":
        from service.bulk.ray_engine import run_ray

        return run_ray
    from service.bulk.local import run_local

    return run_local


def _finish(store: "Store", plan: "Plan", progress: "RunProgress") -> int:
    """Write the marker of a complete run, and print its summary. Returns the exit code.

    Raises:
        StorageError: the run is not complete: another one has planned something else here meanwhile.
    """
    from service.bulk.errors import StorageError
    from service.bulk.plan import read_plan

    if progress.rows != plan.items or read_plan(store) != plan:
        raise StorageError(f"{_SUCCESS}: another run has written to --out meanwhile: choose another place")
    errors = dict(sorted(progress.errors.items()))
    success = {"format": plan.format, "plan": plan.digest, "parts": plan.parts, "rows": progress.rows, "errors": errors}
    store.put(_SUCCESS, (json.dumps(success, indent=2) + "\n").encode())
    failed = sum(errors.values())
    kinds = f": {', '.join(f'{count} {kind}' for kind, count in errors.items())}" if errors else ""
    print_error(f"{progress.line()}{kinds}")
    return FAILED if failed else DONE


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
