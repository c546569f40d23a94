"""``labels.csv``: what it may look like, and that a wrong row is never ignored."""

from pathlib import Path

import pytest

from service.settings import SettingsError
from service.validation.labels import Labels, read_labels


def read(folder: Path, text: str, *columns: str) -> Labels:
    path = folder / "labels.csv"
    path.write_text(text)
    return read_labels(path, columns)


def test_rows_are_read_in_order(tmp_path: Path) -> None:
    labels = read(
        tmp_path, "\ufefffile,label,patient,view\nb.png,PNEUMONIA,P1,AP\na/c.jpg, normal ,P1,\nd.png,1,P2,PA\n"
    )
    assert not labels.columns
    assert labels.has_patients
    assert [(row.file, row.pneumonia, row.patient) for row in labels.rows] == [
        ("b.png", True, "P1"),
        ("a/c.jpg", False, "P1"),
        ("d.png", True, "P2"),
    ]


def test_without_patients_each_image_is_one(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label\na.png,0\nb.png,0\n")
    assert not labels.has_patients
    assert [row.patient for row in labels.rows] == ["a.png", "b.png"]


def test_groups_and_ages(tmp_path: Path) -> None:
    ages = ["0", "1.9", "005Y", "018M", "17", "18", "64", "65", "99", ""]
    rows = "".join(f"{number}.png,0,{age},M\n" for number, age in enumerate(ages))
    labels = read(tmp_path, f"file,label,age,sex\n{rows}", "age", "sex")
    assert [row.groups[0] for row in labels.rows] == [
        "00 to 01",
        "00 to 01",
        "02 to 05",
        "00 to 01",
        "06 to 17",
        "18 to 39",
        "40 to 64",
        "65 to 79",
        "80 and over",
        "not stated",
    ]
    assert {row.groups[1] for row in labels.rows} == {"M"}


@pytest.mark.parametrize(
    ("text", "columns", "fault"),
    [
        ("name,label\na,0\n", (), "it has no column 'file'; the columns are: name, label"),
        ("file,label\na,0\n", ("sex",), "it has no column 'sex'"),
        ("file,label\n", (), "it has no rows"),
        ("", (), "it has no column 'file'"),
        ("file,label\na,0\nb,maybe\n", (), "line 3: the label must be PNEUMONIA"),
        ("file,label\na\n", (), "line 2: the label must be"),
        ("file,label\n,0\n", (), "line 2: the file must be a path below"),
        ("file,label\n../a,0\n", (), "line 2: the file must be a path below"),
        ("file,label\n/etc/passwd,0\n", (), "line 2: the file must be a path below"),
        ("file,label\na,0\na,1\n", (), "line 3: 'a' occurs twice"),
        ("file,label,label\na,0,1\n", (), "it has several columns 'label'"),
        ("file,label,sex,sex\na,0,F,M\n", ("sex",), "it has several columns 'sex'"),
        ("file,label,sex\na,0,F,PA\n", ("sex",), "line 2: it has more values than there are columns"),
        ("file,label\na,0\n./a,1\n", (), "line 3: 'a' occurs twice"),
        ("file,label,patient\na,0,\n", (), "line 2: the patient is empty"),
        ("file,label,age\na,0,old\n", ("age",), "line 2: the age 'old' is not"),
        ("file,label,age\na,0,nan\n", ("age",), "line 2: the age 'nan' is not"),
        ("file,label,n\n" + "".join(f"{n},0,{n}\n" for n in range(21)), ("n",), "--group n: it has 21 different"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, text: str, columns: tuple[str, ...], fault: str) -> None:
    with pytest.raises(SettingsError, match=r"^--labels: ") as raised:
        read(tmp_path, text, *columns)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text_or_missing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    for name, fault in (("x", "not a CSV file in UTF-8"), ("y", "No such file")):
        with pytest.raises(SettingsError, match=fault):
            read_labels(tmp_path / name, ())
