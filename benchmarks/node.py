"""How fast the node accepts radiographs, and how much memory that takes. The service is down: they wait in the spool.

    python benchmarks/node.py [--objects 300] [--associations 12] [--rows 2500] [--columns 2000] [--folder /tmp]

Prints seconds from the first association to the last acknowledgement, objects and megabytes a second, the node's
largest resident memory, and its CPU time. The sender is dcmtk's ``storescu``, which is needed, in processes of its own
on the same machine. Needs the extra dicom, and disk space for all objects.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_CR = "1.2.840.10008.5.1.4.1.1.1"


def radiograph(rows: int, columns: int) -> Dataset:
    """A CR image of 12 bits in 16."""
    image = Dataset()
    image.SOPClassUID, image.StudyInstanceUID, image.SeriesInstanceUID = _CR, generate_uid(), generate_uid()
    image.PatientName, image.PatientID, image.Modality = "Drawn^Nobody", "D1", "CR"
    image.Rows, image.Columns, image.SamplesPerPixel, image.PixelRepresentation = rows, columns, 1, 0
    image.PhotometricInterpretation, image.BitsAllocated, image.BitsStored, image.HighBit = "MONOCHROME2", 16, 12, 11
    image.PixelData = np.random.default_rng(0).integers(0, 4096, (rows, columns), dtype=np.uint16).tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def send(port: int, file: Path, count: int) -> None:
    """Send a file this many times over one association, each time under a new SOP Instance UID."""
    command = ["storescu", "-aet", "BENCH", "-aec", "XRAYNODE", "-xe", "+II", "--repeat", str(count)]
    subprocess.run([*command, "127.0.0.1", str(port), file], check=True, capture_output=True)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in {"objects": 300, "associations": 12, "rows": 2500, "columns": 2000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        measure(Path(name), options)
    return 0


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Start a node, send, and print."""
    file, each = folder / "image.dcm", options.objects // options.associations
    image = radiograph(options.rows, options.columns)
    image.SOPInstanceUID = generate_uid()
    image.save_as(file, enforce_file_format=True)
    config = folder / "node.toml"
    config.write_text(
        '[scp]\naddress = "127.0.0.1"\nport = 0\ncalling_ae_titles = ["BENCH"]\n[spool]\nfolder = "spool"\n'
        '[service]\nurl = "http://127.0.0.1:1"\n[http]\nport = 0\n'
        '[[destinations]]\nname = "none"\ntype = "c-store"\naddress = "127.0.0.1"\nport = 1\nae_title = "NONE"\n'
    )
    with subprocess.Popen(
        [sys.executable, "-m", "node", "--config", config], stderr=subprocess.PIPE, text=True
    ) as node:
        assert node.stderr
        found = re.search(r"DICOM on port (\d+)", node.stderr.readline())
        assert found
        began = time.perf_counter()
        with ThreadPoolExecutor(options.associations) as senders:
            list(senders.map(lambda _: send(int(found[1]), file, each), range(options.associations)))
        took = time.perf_counter() - began
        memory = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{node.pid}/status").read_text())
        times = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
        kept = len(list((folder / "spool" / "objects").iterdir()))
        node.terminate()
        node.stderr.close()
        node.wait()
    megabytes = kept * file.stat().st_size / 1e6
    print(f"{kept} objects in {took:.1f} s: {kept / took:.1f} a second, {megabytes / took:.0f} MB a second")
    cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)
    print(f"node: {int(memory[1]) / 1024 if memory else 0:.0f} MiB at most, {cpu_s:.1f} s of CPU time")


if __name__ == "__main__":
    sys.exit(main())
