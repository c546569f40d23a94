"""Tables of public data sets are read as published: images, patients and classes."""

from pathlib import Path

import pytest

from tests.drawings import png
from training.data.listings import find_in_folder, find_listed
from training.errors import DataError


def test_without_a_table_nothing_is_listed(tmp_path: Path) -> None:
    assert find_listed(tmp_path) is None


def test_the_nih_s_table(tmp_path: Path) -> None:
    (tmp_path / "images_001").mkdir()
    for name in ("1_000.png", "1_001.png", "2_000.png"):
        (tmp_path / "images_001" / name).write_bytes(png())
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(
        "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
        "1_000.png,Infiltration|Pneumonia,1,058Y,M,AP\n1_001.png,No Finding,1,59,M,PA\n2_000.png,Mass,2,81,F,PA\n"
    )
    found = find_listed(tmp_path)
    assert found is not None
    assert [(row.name, row.label, row.patient, row.age, row.sex, row.view) for row in found] == [
        ("images_001/1_000.png", 1, "1", 58, "M", "AP"),
        ("images_001/1_001.png", 0, "1", 59, "M", "PA"),
    ]


def test_the_rsna_s_table(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\na,Lung Opacity\na,Lung Opacity\nb,Normal\nc,No Lung Opacity / Not Normal\n"
    )
    found = find_listed(tmp_path)
    assert found is not None
    assert [(row.name, row.label) for row in found] == [("a.png", 1), ("b.png", 0)]


@pytest.mark.parametrize(
    ("table", "text", "words"),
    [
        ("manifest.csv", "name\nx\n", "has no column 'file'"),
        ("Data_Entry_2017.csv", "Image Index\nx.png\n", "has no column 'Finding Labels'"),
        ("stage_2_detailed_class_info.csv", "patientId,class\nx,Normal\n", "no PNG, JPEG or DICOM file named x"),
        ("manifest.csv", "name;label\nx;NORMAL\n", "no column 'file'; the columns are: name, label"),
        ("manifest.csv", "file,label,label\nx,1,0\n", "several columns 'label'"),
        ("manifest.csv", "file,label\nx,maybe\n", "line 2: the label of x must be PNEUMONIA .* not 'maybe'"),
        ("manifest.csv", "file,label\n,NORMAL\n", "the row of '' names no file"),
        ("manifest.csv", "file,label\nx\0y,NORMAL\n", "names no file"),
        ("manifest.csv", "file,label\nx,NORMAL,y\n", "more values than there are columns"),
        ("manifest.csv", "file,label\nx,NORMAL\nx,NORMAL\n", "lists x 2 times"),
        ("manifest.csv", "file,label\nx,NORMAL\n./x,PNEUMONIA\n", "lists x 2 times"),
        ("manifest.csv", "file,label\n", "lists no image"),
        ("manifest.csv", "", "no column 'file'"),
        ("manifest.csv", f"file,label\n{'x' * 200_000},NORMAL\n", "line 2: not as in a CSV file"),
        ("manifest.csv", 'file,view\nNORMAL/x,"AP\nNORMAL/y,PA\n', "line 2: not as in a CSV file"),
        ("manifest.csv", "file,label,Label\nx,1,0\n", "several columns 'label'"),
        ("Data_Entry_2017.csv", "Image Index,Finding Labels\nx.png\n", "no column 'Patient ID'"),
        ("manifest.xlsx", "PK", "manifest.xlsx: is not read; the table of a folder must be a CSV file named manifest"),
        ("Manifest.CSV", "file\n", "Manifest.CSV: is not read"),
    ],
)
def test_a_table_that_lacks_something_is_refused(tmp_path: Path, table: str, text: str, words: str) -> None:
    (tmp_path / table).write_text(text)
    with pytest.raises(DataError, match=words):
        find_in_folder(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "manifest.csv").write_text("file,label,patient\nx,NORMAL,M\u00fcller\n", encoding=encoding)
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        find_listed(tmp_path)


def test_a_list_of_labels_for_validate_is_read_as_there(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "\ufefffile,label,patient,age\r\na.png , Normal, P1,045Y\r\n./b.png,pneumonia,P1 ,018M\r\nc.png,1,P2,\r\n"
    )
    found = find_listed(tmp_path)
    assert found is not None
    assert [(row.name, row.label, row.patient, row.age) for row in found] == [
        ("a.png", 0, "P1", 45),
        ("b.png", 1, "P1", 1.5),
        ("c.png", 1, "P2", None),
    ]


def test_a_table_as_a_german_excel_writes_it(tmp_path: Path) -> None:
    (tmp_path / "IMG1.JPG").write_bytes(b"")
    (tmp_path / "manifest.csv").write_bytes(
        "\ufeffFile;Label;Patient;Age\r\nimg1.jpg;1;P1;45,5\r\nb.png;0;P2;\r\n;;;\r\n".encode()
    )
    found = find_listed(tmp_path)
    assert found is not None
    assert [(row.name, row.label, row.patient, row.age) for row in found] == [
        ("IMG1.JPG", 1, "P1", 45.5),
        ("b.png", 0, "P2", None),
    ]


@pytest.mark.parametrize("age", ["nan", "inf", "-1", "411", "411Y", "1e400", "unknown"])
def test_what_is_no_age_is_not_known(tmp_path: Path, age: str) -> None:
    (tmp_path / "manifest.csv").write_text(f"file,label,age\na.png,0,{age}\n")
    found = find_listed(tmp_path)
    assert found is not None
    assert found[0].age is None
