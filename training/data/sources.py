"""A data set of several sources: a JSON file lists the folders, with the population of each.

    {"populations": {"child": {"description": "children of one to five years", "from_age": 1, "below_age": 6},
                     "adult": {"description": "adults of 18 years and over", "from_age": 18, "below_age": null}},
     "sources": [{"name": "kermany", "folder": "chest_xray", "population": "child"},
                 {"name": "rsna", "folder": "adults_train/rsna_299", "population": "adult"}]}

A folder's path is relative to the file. The folder has NORMAL/ and PNEUMONIA/ like any data folder, or a table that
describes its images (training.data.listings). Images are JPEG, PNG or DICOM files.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from contract.bundle import NAME_PATTERN, UNKNOWN_POPULATION
from contract.io.messages import first_error
from training.data.folder import Radiograph
from training.data.listings import find_in_folder
from training.data.objects import described
from training.errors import DataError

_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class People(BaseModel):
    """The description of one population, and its age limits in years; ``below_age`` null: no upper limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    from_age: float = Field(ge=0, allow_inf_nan=False)
    below_age: float | None = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        if self.below_age is not None and self.below_age <= self.from_age:
            raise ValueError("below_age must be more than from_age")
        return self


class Source(BaseModel):
    """One folder of radiographs of one population. No patient has images in another source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    folder: Path
    population: _Name


class Sources(BaseModel):
    """The JSON file that lists the sources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    populations: dict[_Name, People]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if len({source.name for source in self.sources}) < len(self.sources):
            raise ValueError("two sources have one name")
        if UNKNOWN_POPULATION in self.populations:
            raise ValueError(f"no population can be called {UNKNOWN_POPULATION!r}, which stands for none")
        if unknown := {source.population for source in self.sources} - self.populations.keys():
            raise ValueError(f"no population {min(unknown)!r}")
        return self


def read_sources(path: Path) -> Sources:
    """Read the file that lists the sources.

    Raises:
        DataError: it cannot be read or is not valid.
    """
    try:
        return Sources.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        where, words = first_error(error)
        raise DataError(f"{path}: {where or 'whole file'}: {words}") from None


def find_all(root: Path) -> list[Radiograph]:
    """The radiographs of a data folder, or of the sources that a JSON file lists; sorted by name.

    Raises:
        DataError: a file or folder cannot be read or has an unknown layout.
    """
    if not root.is_file():
        return _with_patients([described(radiograph) for radiograph in find_in_folder(root)])
    found = [radiograph for source in read_sources(root).sources for radiograph in _of(source, root.parent)]
    return sorted(_with_patients(found), key=lambda radiograph: radiograph.name)


def _of(source: Source, base: Path) -> list[Radiograph]:
    """The radiographs of one source, with what their files tell; a prefix keeps names unique to the source."""
    return [
        replace(
            described(radiograph),
            name=f"{source.name}/{radiograph.name}",
            source=source.name,
            population=source.population,
        )
        for radiograph in find_in_folder(base / source.folder)
    ]


def _with_patients(found: list[Radiograph]) -> list[Radiograph]:
    """The radiographs with their patients, which a prefix keeps unique to the population. One whose patient is not
    known counts as a patient of its own: of its file's name, or where several files have that, of its path.
    """
    files = Counter((each.population, each.path.stem) for each in found if not each.patient)

    def patient_of(each: Radiograph) -> str:
        alone = files[each.population, each.path.stem] == 1
        name = each.patient or (each.path.stem if alone else each.name)
        return f"{each.population}/{name}" if each.population else name

    return [replace(each, patient=patient_of(each)) for each in found]
