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
