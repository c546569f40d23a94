"""Small files that cost much to decode: a service of default size survives many of them at once, and ends in time."""

import concurrent.futures
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cases.costly import COSTLY, flat
from tests.drawings import jpeg as small_jpeg
from tests.e2e.server import Server, running
from tests.waiting import DEADLINE_S, until

SAMPLED_EVERY_S = 0.05  # the memory
AT_ONCE = 64
# docker-compose.yml gives the container 1 GiB.
MOST_MIB = 700


@pytest.fixture
def server(bundle_folder: Path, tmp_path: Path) -> Iterator[Server]:
    with running(bundle_folder, tmp_path, deadline_s=5) as server:
        yield server


def resident_mib(parent: int) -> float:
    """Of a process and its children."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:  # it has ended
            continue
        if parent in (int(fields["Pid"]), int(fields["PPid"])):
            found += int(fields.get("VmRSS", "0 kB").split()[0])
    return found / 1024


def test_many_costly_images_at_once(server: Server) -> None:
    images = [make() for make in COSTLY]
    done, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(SAMPLED_EVERY_S):
            peak.append(resident_mib(server.process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with httpx.Client(
        base_url=server.url, timeout=DEADLINE_S, limits=httpx.Limits(max_connections=AT_ONCE + 1)
    ) as client:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            sent = [pool.submit(client.post, "/predict", content=images[n % len(images)]) for n in range(AT_ONCE)]
            health = client.get("/health").status_code
            statuses = {answer.result().status_code for answer in sent}
        done.set()
        watcher.join()
        # Until the last costly ones have been decoded, it waits for its turn, and may meet its deadline.
        until(lambda: client.post("/predict", content=small_jpeg()).status_code == 200)
    assert statuses <= {200, 422, 503, 504}
    assert health == 200
    assert max(peak) < MOST_MIB
    assert server.process.poll() is None


def test_the_service_ends_while_it_decodes_a_costly_image(server: Server) -> None:
    image = flat(16, 6)
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client,
    ):
        sent = pool.submit(client.post, "/predict", content=image)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE_S) == 0
        sent.exception()  # answered, refused or cut off
