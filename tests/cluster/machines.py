"""Three machines of a Ray cluster, as network namespaces that reach each other and nothing else."""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests import ROOT
from tests.commands import run
from tests.waiting import until

SWITCH, OUT = "switch", "out"
RAYLET, OTHERS = 6380, (6379, *range(6381, 6387))
# In /proc/net/tcp: a state; 127.0.0.1 and ::1, as this machine writes the numbers.
_LISTENING, _LOOPBACK = "0A", ("0100007F", "01000000")
_WATCH = """add table inet watch; add chain inet watch out { type filter hook output priority 0; };
add set inet watch seen { type ipv4_addr . inet_proto . inet_service; flags dynamic; }"""
_WHERE = "{ ip daddr . meta l4proto . th dport }"


class Machine:
    """A network namespace with one address. What would leave it for elsewhere is counted, and goes nowhere."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name, self.address = name, address
        self._folder, self._started = folder, list[subprocess.Popen[bytes]]()
        self._in = ["ip", "netns", "exec", name]
        _ip("netns", "add", name)
        self._namespace = _namespace(Path(f"/run/netns/{name}"))
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")  # the kernel's own packets, for neighbours
        for device, at in (("eth0", [f"{address}/24"]), (OUT, [])):
            _ip("link", "add", "name", f"{name}-{device}", "type", "veth", "peer", "name", device, "netns", name)
            _ip("link", "set", f"{name}-{device}", "up")
            for each in at:
                _ip("-n", name, "addr", "add", each, "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        _ip("link", "set", f"{name}-eth0", "master", SWITCH)
        _ip("-n", name, "link", "set", "lo", "up")
        # A packet for any other address would be sent there; without this route it would not even be made.
        _ip("-n", name, "route", "add", "default", "dev", OUT)
        self.run("nft", f"{_WATCH}; add rule inet watch out oifname {OUT} add @seen {_WHERE} drop")

    def run(self, *command: str) -> str:
        """Run a command there; returns what it prints."""
        done = run([*self._in, *command])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ray(self, script: str, *arguments: str, token: Path) -> None:
        """Start Ray there by a script of ``deploy/ray``, unless it runs."""
        if any(each.poll() is None for each in self._started):
            return
        env = {"RAY_AUTH_TOKEN_PATH": str(token), "RAY_TEMP": str(self._folder / self.name)}
        command = [*self._in, str(ROOT / "deploy" / "ray" / script), self.address, *arguments]
        self.kill()
        with (self._folder / f"{self.name}.log").open("wb") as log:
            self._started.append(subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log))

    def processes(self) -> list[int]:
        """All processes that run there."""
        return [each for each in _alive() if _namespace(Path(f"/proc/{each}/ns/net")) == self._namespace]

    def kill(self, but: tuple[bytes, ...] = ()) -> None:
        """Kill every process that runs there, except those with one of these in their command line."""
        while alive := [each for each in self.processes() if not any(word in _command_line(each) for word in but)]:
            for each in alive:
                _kill(each)
        while self._started:
            self._started.pop().wait()

    def ports(self) -> set[int]:
        """The ports that are listened on, except by the loopback alone."""
        inside = next(iter(self.processes()), None)
        lines = [line for name in ("tcp", "tcp6") for line in _lines(Path(f"/proc/{inside}/net/{name}"))[1:]]
        sockets = [line.split()[1].split(":") for line in lines if line.split()[3] == _LISTENING]
        return {int(port, 16) for address, port in sockets if not address.endswith(_LOOPBACK)}

    def sent_out(self) -> list[str]:
        """Address, protocol and port of packets that were for none of the cluster's machines."""
        table = json.loads(self.run("nft", "-j", "list", "set", "inet", "watch", "seen"))["nftables"]
        (found,) = [each["set"] for each in table if "set" in each]
        return [" ".join(map(str, each["concat"])) for each in found.get("elem", [])]

    def log(self) -> str:
        """What Ray's last start printed."""
        return (self._folder / f"{self.name}.log").read_text()[-4000:]


def connect() -> None:
    """Make the network that machines are connected to."""
    _ip("link", "add", "name", SWITCH, "type", "bridge")
    _ip("link", "set", SWITCH, "up")


class Cluster:
    """A head that does no parts, and two nodes with one CPU each."""

    def __init__(self, folder: Path, token: Path) -> None:
        connect()
        self.token = token
        names = ("head", "node1", "node2")
        self.head, *self.nodes = (Machine(name, f"10.99.0.{at}", folder) for at, name in enumerate(names, start=1))
        self.machines = [self.head, *self.nodes]
        self.address = f"{self.head.address}:6379"

    def ready(self) -> None:
        """Start what does not run. Nodes of a head that was lost are of no use."""
        if not self.head.processes():
            for each in self.nodes:
                each.kill()
        self._start(self.head, "head.sh")
        for each in self.nodes:
            self._start(each, "node.sh", self.head.address, "--num-cpus", "1", wait=False)
        for each in self.nodes:
            self._start(each, "node.sh", self.head.address, "--num-cpus", "1")

    def _start(self, machine: Machine, script: str, *arguments: str, wait: bool = True) -> None:
        """Start Ray on a machine; again if it gives up, which it does after 30 s, whatever else the machine does."""

        def up() -> bool:
            machine.ray(script, *arguments, token=self.token)
            return RAYLET in machine.ports() and "Ray runtime started" in machine.log()

        if wait:
            until(up, machine.log)
        else:
            up()


def _ip(*words: str) -> None:
    done = run(["ip", *words])
    assert done.returncode == 0, done.stderr


def _alive() -> list[int]:
    """All processes but those that have ended and are not waited for."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [each for each in found if _state(each) not in {"", "Z"}]


def _state(process: int) -> str:
    """S, R, ...; of one that is gone, nothing."""
    return "".join(_lines(Path(f"/proc/{process}/stat"))).rpartition(")")[2].strip()[:1]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # the process has ended
        return []


def _namespace(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
