"""``validate --from-audit``: the same figures from what was answered and what became known later, by the audit log.

A truth belongs to a file (its digest), so it holds for every model version that has analysed it. Of several analyses of
a file by one model the first counts.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contract.bundle import LABELS, NAME_PATTERN, VERSION_PATTERN, BundleError, Manifest, read_bundle
from service.audit.chain import chains_of, files_of
from service.audit.line import Feedback, ImageRead, read_line
from service.settings import Settings, SettingsError
from service.validation.claims import claimed_points
from service.validation.figures import Basis, report_of
from service.validation.labels import Labelled
from service.validation.schema import AuditData, ServedBy, SiteData, ValidationReport
from service.validation.scoring import FLAGGED, Answered, Run

# What images can be grouped by: the month, or a field of the audit log.
COLUMNS = ("month", "caller", "route", "operating_point", "provider")
_MONTH = len("2026-11")
_Line = dict[str, Any]


@dataclass(slots=True)
class Series:
    """What one model answered for one population. ``images``: by digest, of those with a truth, the first analysis.

    ``answered``: analyses by label. ``known``: those with a truth, by label and truth.
    """

    images: dict[str, _Line] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    known: Counter[tuple[str, str]] = field(default_factory=Counter)


# Name, version, digest of the graph, population.
Key = tuple[str, str, str, str | None]


def read_series(folder: Path, since: str) -> tuple[dict[Key, Series], dict[str, str]]:
    """Read an audit log, in memory for the images with a truth only.

    Args:
        folder: of the audit log.
        since: the first day or month, as ISO 8601 writes it; earlier analyses are left out.

    Returns:
        the series of every model with a truth, and the truth of each digest.

    Raises:
        SettingsError: there is no audit log, or it was altered or forged.
        OSError: a file cannot be read.
    """
    if not chains_of(folder):
        raise SettingsError(f"--from-audit: {folder}: there is no audit log here")
    latest: dict[str, _Line] = {}
    for line in _events(folder, Feedback):
        digest = line["image_sha256"]
        if digest not in latest or latest[digest]["time"] <= line["time"]:
            latest[digest] = line
    truths = {digest: line["truth"] for digest, line in latest.items() if line["truth"]}
    found: dict[Key, Series] = {}
    for line in _events(folder, ImageRead):
        if line["label"] is not None and line["time"] >= since:
            key = line["model"], line["version"], line["graph_sha256"], line.get("population")
            _add(found.setdefault(key, Series()), line, truths)
    return {key: series for key, series in found.items() if series.images}, truths


def _add(series: Series, line: _Line, truths: dict[str, str]) -> None:
    digest, label = line["image_sha256"], line["label"]
    series.answered[label] += 1
    if digest in truths:
        series.known[label, truths[digest]] += 1
        first = series.images.get(digest)
        if first is None or line["time"] < first["time"]:
            series.images[digest] = line


def _events(folder: Path, kind: type[Feedback] | type[ImageRead]) -> Iterator[_Line]:
    """The events of one kind, of all chains. The seal and the fields of each line are checked, since everybody who can
    write the file can forge a line; ``audit verify`` checks the chains.
    """
    begins = f'"event":"{kind.model_fields["event"].default}"'.encode()
    for path in (path for chain in chains_of(folder) for path in files_of(chain)):
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if begins not in raw[:64] or not raw.endswith(b"\n"):  # an unfinished line is no evidence
                    continue
                if read_line(raw) is None:
                    raise SettingsError(f"--from-audit: {path}:{number}: this line was altered; run audit verify")
                try:
                    event = kind.model_validate_json(raw)
                except ValidationError:
                    event = None
                if event is None or not _is_plausible(event):
                    raise SettingsError(f"--from-audit: {path}:{number}: no service has written this line")
                yield event.model_dump()


def _is_plausible(event: Feedback | ImageRead) -> bool:
    """Whether a truth, a label, a probability and a threshold are such, and the names of model and population, which
    become those of a folder.
    """
    if isinstance(event, Feedback):
        return event.truth in {None, *LABELS}
    if event.label is None:
        return True
    names = (event.model, event.population or "none")
    shares = (event.threshold, -1.0 if event.probability is None else event.probability)
    return (
        event.label in LABELS
        and all(0 <= share <= 1 for share in shares)  # rules out NaN, too
        and all(re.fullmatch(NAME_PATTERN, name) for name in names)
        and re.fullmatch(VERSION_PATTERN, event.version) is not None
    )


def report_of_series(
    key: Key, series: Series, truths: dict[str, str], settings: Settings, basis: Basis
) -> ValidationReport:
    """The report of one model and population.

    Args:
        key: of the series.
        series: at least one image.
        truths: by digest.
        settings: name the bundle of the served model, and the repository of others.
        basis: the criteria, and the columns to group by.
    """
    *_, population = key
    manifest = _manifest(key, settings)
    thresholds = (
        {name: point.threshold for name, point in claimed_points(manifest, population).items()} if manifest else {}
    )
    thresholds |= {line["operating_point"]: line["threshold"] for line in series.images.values()}
    run = _run(series, truths, basis.columns)
    data = SiteData(
        images=len(series.images),
        failed=0,
        repeated=0,
        not_labelled=0,
        has_patients=False,
        fingerprint=hashlib.sha256("".join(sorted(series.images)).encode()).hexdigest(),
        audit=_audit_data(series),
    )
    return report_of(
        run.scored(), _served_by(key, series), data, basis.having(manifest, thresholds, guarded=run.guarded)
    )


def _served_by(key: Key, series: Series) -> ServedBy:
    """The model of a series, with its most frequent operating point as the default."""
    name, version, graph_sha256, population = key
    lines = list(series.images.values())
    return ServedBy(
        name=name,
        version=version,
        graph=lines[-1]["graph"],
        graph_sha256=graph_sha256,
        provider=", ".join(sorted({line["provider"] for line in lines})),
        population=population,
        default_operating_point=Counter(line["operating_point"] for line in lines).most_common(1)[0][0],
    )


def _run(series: Series, truths: dict[str, str], columns: Sequence[str]) -> Run:
    """The recorded answers in the form of a run over files; each file is a patient of its own."""
    run = Run()
    for digest, line in series.images.items():
        groups = tuple(line["time"][:_MONTH] if each == "month" else str(line[each] or "none") for each in columns)
        labelled = Labelled(digest, truths[digest] == "PNEUMONIA", digest, groups)
        run.answers.append(Answered(labelled, line["probability"], FLAGGED in line["warnings"], digest))
        run.guarded = run.guarded or line["guard_score"] is not None
    return run


def _audit_data(series: Series) -> AuditData:
    times = sorted(line["time"] for line in series.images.values())
    known = series.known
    return AuditData(
        first=times[0],
        last=times[-1],
        answered_pneumonia=series.answered["PNEUMONIA"],
        answered_normal=series.answered["NORMAL"],
        true_positive=known["PNEUMONIA", "PNEUMONIA"],
        false_positive=known["PNEUMONIA", "NORMAL"],
        false_negative=known["NORMAL", "PNEUMONIA"],
        true_negative=known["NORMAL", "NORMAL"],
    )


def _manifest(key: Key, settings: Settings) -> Manifest | None:
    """The manifest of the model, if its bundle is here: the served one, or one of the repository."""
    name, version, graph_sha256, population = key
    folders = [settings.model]
    if re.fullmatch(NAME_PATTERN, name) and re.fullmatch(VERSION_PATTERN, version):
        folders.append((settings.repository or settings.model.resolve().parent.parent) / name / version)
    for folder in folders:
        try:
            manifest = read_bundle(folder).manifest
        except BundleError:
            continue
        has_population = population is None or population in manifest.populations
        if graph_sha256 in manifest.files.values() and (manifest.name, manifest.version) == (name, version):
            return manifest if has_population else None
    return None
