"""``labels.csv``: what it may look like, and that a wrong row is never ignored."""

import re
import unicodedata
from pathlib import Path

import pytest

from service.settings import SettingsError
from service.validation.labels import Labels, read_labels


def read(folder: Path, text: str, *columns: str) -> Labels:
    path = folder / "labels.csv"
    path.write_bytes(text.encode())
    return read_labels(path, columns, folder)


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
    ages = ["0", "5.9", "005Y", "018M", "6", "17", "18", "64", "64,9", "65", "99", ""]
    rows = "".join(f"{number}.png;0;{age};M\n" for number, age in enumerate(ages))
    labels = read(tmp_path, f"file;label;Age;sex\n{rows}", "AGE", "sex")
    assert labels.columns == ("age", "sex")
    assert [row.groups[0] for row in labels.rows] == [
        *["0 to 5"] * 4,
        *["6 to 17"] * 2,
        "18 to 39",
        *["40 to 64"] * 2,
        *["65 and over"] * 2,
        "not stated",
    ]
    assert {row.groups[1] for row in labels.rows} == {"M"}


@pytest.mark.parametrize(
    ("text", "columns", "fault"),
    [
        ("name,label\na,0\n", (), "it has no column 'file'; the columns are: name, label"),
        ("file,label\na,0\n", ("sex",), "it has no column 'sex'"),
        ('"a\x1b\nb",label\na,0\n', (), "it has no column 'file'; the columns are: a  b, label"),
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
        ("file,label,age\na,0,3 months\n", ("age",), "line 2: the age '3 months' is not"),
        ("file;label\na.png;Pneumonie\n", (), "line 2: the label must be PNEUMONIA (or 1) or NORMAL (or 0), not 'Pn"),
        ("file,label,File\na,0,b\n", (), "it has several columns 'file'"),
        ('file,label,view\na,0,"AP\nb,1,PA\nc,1,PA\n', (), "line 2: not as in a CSV file (unexpected end of data)"),
        ("file,label,n\n" + "".join(f"{n},0,{n}\n" for n in range(21)), ("n",), "--group n: it has 21 different"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, text: str, columns: tuple[str, ...], fault: str) -> None:
    with pytest.raises(SettingsError, match=r"^--labels: ") as raised:
        read(tmp_path, text, *columns)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff\xfe\x00", "line 1: it is not a CSV file in UTF-8 (in Excel: Save As, CSV UTF-8)"),
        ("file,label\na.png,0\nM\xfcller.png,1\n".encode("latin-1"), "line 3: it is not a CSV file in UTF-8"),
        (b"PK\3\4\x14\0\6\0", "it is an Excel workbook, not a CSV file (in Excel: Save As, CSV UTF-8)"),
        (None, "it cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_table_or_missing(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(fault)):
        read_labels(path, (), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "file;label;patient\r\na.png;1;P1\r\nb.png;0;P2\r\n",
        "\ufeffFile\tLabel\tPatient\r\na.png\t1.0\tP1\r\nb.png\t0.0\tP2\r\n",
        "\r\nfile,label,patient,,\r\na.png,PNEUMONIA,P1,,\r\nb.png, Normal ,P2\xa0,,\r\n,,,,\r\n\r\n",
        '"file","label","patient","note"\r"a.png","1","P1","two\nlines; and, more"\r"b.png","0","P2",""\r',
    ],
    ids=["semicolons", "tabs of pandas", "empty rows and columns of Excel", "quoted, with line ends of old Macs"],
)
def test_what_spreadsheets_write_is_read_alike(tmp_path: Path, text: str) -> None:
    rows = read(tmp_path, text).rows
    assert [(row.file, row.pneumonia, row.patient) for row in rows] == [("a.png", True, "P1"), ("b.png", False, "P2")]


def test_a_name_in_composed_and_decomposed_letters_is_one_patient(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "M\xfcller") for form in ("NFC", "NFD")]
    rows = read(tmp_path, f"file,label,patient\na,0,{names[0]}\nb,1,{names[1]}\n").rows
    assert rows[0].patient == rows[1].patient


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        (unicodedata.normalize("NFD", "M\xfcller.png"), unicodedata.normalize("NFC", "M\xfcller.png")),
        (unicodedata.normalize("NFC", "M\xfcller.png"), unicodedata.normalize("NFD", "M\xfcller.png")),
        ("ward/IMG1.JPG", "Ward/img1.jpg"),
        ("ward/IMG1.JPG", "ward\\IMG1.JPG"),
        ("ward/1.2.840.dcm", "ward/1.2.840"),
        ("ward/IM0001", "ward/IM0001.dcm"),
    ],
)
def test_a_file_that_is_spelled_otherwise_is_found(tmp_path: Path, stored: str, listed: str) -> None:
    (tmp_path / "ward").mkdir()
    (tmp_path / stored).write_bytes(b"")
    (row,) = read(tmp_path, f"file,label\n{listed},0\n").rows
    assert row.file == row.patient == stored
    with pytest.raises(SettingsError, match=r"line 3: .* occurs twice"):
        read(tmp_path, f"file,label\n{listed},0\n{stored},1\n")


@pytest.mark.parametrize(
    ("stored", "listed"),
    [(["a.png", "A.png"], "a.PNG"), (["a.dcm", "a.png"], "A"), (["b.png"], "a.png"), (["1.2.png"], "1")],
)
def test_where_several_files_may_be_meant_none_is(tmp_path: Path, stored: list[str], listed: str) -> None:
    for name in stored:
        (tmp_path / name).write_bytes(b"")
    (row,) = read(tmp_path, f"file,label\n{listed},0\n").rows
    assert row.file == listed
