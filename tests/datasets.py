"""A data folder of drawn radiographs, with file names like those of the public download."""

from pathlib import Path

from tests.drawings import chest, encode


def write_data_folder(folder: Path, patients: int = 12, images_each: int = 2) -> Path:
    """Write NORMAL/ and PNEUMONIA/ with this many patients each; PNEUMONIA has a bright patch on the left."""
    for label, opacity in (("NORMAL", 0.0), ("PNEUMONIA", 1.0)):
        (folder / label).mkdir(parents=True)
        for patient in range(patients):
            for image in range(images_each):
                seed = 1000 * patient + image + 500 * (label == "PNEUMONIA")
                pixels = chest(seed, 224 + 10 * patient, 224, opacity)
                name = f"person{patient}_bacteria_{image}" if opacity else f"IM-{patient:04}-{image:04}"
                (folder / label / f"{name}.jpeg").write_bytes(encode(pixels))
    return folder


def write_sources(folder: Path) -> Path:
    """A list of two sources: a data folder of children, and one of adults with a manifest, where a lung is brighter."""
    write_data_folder(folder / "ward", patients=8)
    rows = ["file,patient,age,sex,view"]
    for label, opacity in (("NORMAL", 0.0), ("PNEUMONIA", 1.0)):
        (folder / "clinic" / label).mkdir(parents=True)
        for patient in range(8):
            pixels = 255 - (255 - chest(9000 + patient + 50 * (label == "PNEUMONIA"), 300, 320, opacity)) // 2
            (folder / "clinic" / label / f"{patient}.png").write_bytes(encode(pixels, "PNG"))
            rows.append(f"{label}/{patient}.png,{label[0]}{patient},{30 + 10 * patient},{'MF'[patient % 2]},PA")
    (folder / "clinic" / "manifest.csv").write_text("\n".join(rows) + "\n")
    sources = folder / "sources.json"
    sources.write_text(
        """{"populations": {"child": {"description": "children", "from_age": 1, "below_age": 6},
                            "adult": {"description": "adults", "from_age": 18, "below_age": null}},
            "sources": [{"name": "ward", "folder": "ward", "population": "child"},
                        {"name": "clinic", "folder": "clinic", "population": "adult"}]}"""
    )
    return sources
