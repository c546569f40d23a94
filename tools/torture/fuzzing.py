"""Fuzzes what reads untrusted bytes: the headers of images, their decoding, v2 requests, multipart bodies.

    python -m tools.torture.fuzzing TARGET --seconds 40

With atheris (`pip install atheris`), guided by the coverage of the code; without, by random changes of valid input.
Whatever the input, only the exceptions that are part of the interface may be raised. Prints how many inputs were tried;
an input that raises anything else is printed, and the exit code is not 0.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MAX_PIXELS, _MAX_BYTES = 1_000_000, 100_000
# In one process: atheris itself grows by 0.1 MiB with each, where the same inputs without it take 4 MiB in all.
_MAX_RUNS = 8000
# What mutations insert: limits of integers, markers, delimiters.
_SPICES = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xd8",
    b"\xff\xda",
    b"IEND",
    b"IDAT",
    b'"',
    b"[",
    b"-1",
    b"1e999",
    b"\r\n--",
)


@dataclass(frozen=True, slots=True)
class Target:
    """A function that reads bytes, the exceptions that it may raise, and valid input."""

    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]


def _pictures() -> list[bytes]:
    from tests.drawings import jpeg, png

    small = {"subsampling": 2, "quality": 60}
    return [jpeg(), jpeg(progressive=True), jpeg(**small), jpeg(restart_marker_rows=2), png(), png(compress_level=0)]


def _requests() -> list[bytes]:
    tensor = {"name": "image", "shape": [1, 200, 200, 1], "datatype": "UINT8"}
    file = {"name": "file", "shape": [1, 1], "datatype": "BYTES"}
    bodies: list[dict[str, object]] = [
        {"inputs": [{**tensor, "data": [0] * 40000}]},
        {"id": "1", "inputs": [{**file, "data": ["/9j/4AAQ"]}], "outputs": [{"name": "label"}]},
        {"inputs": [{**file, "parameters": {"binary_data_size": 4}}], "parameters": {"binary_data_output": True}},
    ]
    return [json.dumps(body).encode() for body in bodies]


def _multipart() -> list[bytes]:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    part = head + b"Content-Type: image/jpeg\r\n\r\nabc\r\n"
    return [part + b"--x--\r\n", part * 3 + b"--x--", b"preamble\r\n" + part]


def targets() -> dict[str, Target]:
    """The targets by name."""
    from contract.errors import ImageRefused
    from contract.header import read_header
    from contract.image import to_pixels
    from service import problems
    from service.http.uploads.multipart import split
    from service.oip.request import parse
    from service.oip.views import WHOLE

    def v2(data: bytes) -> object:
        length = data.find(b"}\n")
        return parse(data, None if length < 0 else str(length + 1), 4, WHOLE)

    answered = tuple(problems.TABLE)  # every exception that is answered with a problem of its own
    return {
        "header": Target(read_header, (ImageRefused,), _pictures),
        "decode": Target(lambda data: to_pixels(data, max_pixels=_MAX_PIXELS), (ImageRefused,), _pictures),
        "v2": Target(v2, answered, _requests),
        "multipart": Target(lambda data: list(split(data, b"x")), answered, _multipart),
    }


NAMES = ("header", "decode", "v2", "multipart")


def mutate(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    """One to five random changes of an input."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at, end = sorted(rng.randrange(len(changed) + 1) for _ in range(2))
        end = min(end, at + rng.choice((1, 4, 64, 1000)))
        other = rng.choice(seeds)
        pieces = (rng.choice(_SPICES), bytes(rng.randbytes(end - at)), b"", other[at:end], changed[at:end] * 2)
        changed[at:end] = rng.choice(pieces)
    return bytes(changed[:_MAX_BYTES])


def by_chance(target: Target, seconds: float) -> int:
    """Try random changes of valid input for a time. Returns how many inputs were tried."""
    rng, seeds, ends, tried = random.Random(), target.seeds(), time.monotonic() + seconds, 0  # noqa: S311
    while time.monotonic() < ends:
        data = mutate(rng.choice(seeds), seeds, rng)
        try:
            with contextlib.suppress(*target.allowed):
                target.run(data)
        except BaseException:
            print(f"after {tried} inputs, this one: {data!r}", file=sys.stderr)
            raise
        tried += 1
    return tried


def by_coverage(name: str, seconds: float, corpus: Path) -> None:
    """The same with atheris, which ends the process. libFuzzer prints how many runs there were.

    Run it in rounds with the same corpus: atheris itself grows by 0.1 MiB with each input. (Its corpus of 97 files,
    decoded twelve times without it, stays at 41 MiB.)
    """
    atheris = importlib.import_module("atheris")  # it ships no types

    with atheris.instrument_imports(include=["contract", "service"]):
        target = targets()[name]

    def run(data: bytes) -> None:
        with contextlib.suppress(*target.allowed):
            target.run(data)

    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    whole = max(1, round(seconds))  # 0 would be no limit
    limits = [
        f"-runs={_MAX_RUNS}",
        f"-max_total_time={whole}",
        f"-max_len={_MAX_BYTES}",
        "-rss_limit_mb=2048",
        "-timeout=20",
    ]
    os.chdir(corpus)  # libFuzzer leaves an input that fails here
    atheris.Setup([sys.argv[0], str(corpus), *limits], run)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--corpus", type=Path, help="a folder that atheris reads and extends")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris"):
        by_coverage(given.target, given.seconds, given.corpus or Path(tempfile.mkdtemp(prefix="corpus-")))
    else:
        print(f"Done {by_chance(targets()[given.target], given.seconds)} runs in {given.seconds:g} s, by chance")


if __name__ == "__main__":
    main()
