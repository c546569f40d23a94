"""The files of a report, in their folder."""

from pathlib import Path

from contract.io.files import write_file
from service.settings import SettingsError
from service.validation.report.gallery import Example
from service.validation.report.page import write_page
from service.validation.schema import ValidationReport


def prepare_folder(folder: Path) -> None:
    """Create the folder of a report before the images are analysed, which may take hours.

    Raises:
        SettingsError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "report.html.partial"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise SettingsError(f"--out: {folder} cannot be written: {error.strerror}") from None


def write_files(folder: Path, report: ValidationReport, examples: list[Example] | None) -> None:
    """Write ``report.html`` and ``report.json``. ``examples`` is None for a page without images of patients.

    Raises:
        SettingsError: one cannot be written.
    """
    for name, text in (
        ("report.html", write_page(report, examples)),
        ("report.json", report.model_dump_json(indent=2) + "\n"),
    ):
        try:
            write_file(folder / name, text.encode())
        except OSError as error:
            raise SettingsError(f"--out: {folder / name} cannot be written: {error.strerror}") from None
