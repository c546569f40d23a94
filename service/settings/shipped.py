"""Files that come with the service beside its code: the bundled models, and the description of its errors."""

from pathlib import Path


def shipped(name: str) -> Path:
    """The path of such a file or folder, by its name in the repository: ``models/pneumonia/2``, ``docs/errors.md``.

    In a clone and in the container image it is at the root, beside ``service/``; an installed wheel has it below
    ``service/shipped/`` (pyproject.toml), because the root would be the folder of all packages.
    """
    package = Path(__file__).parents[1]
    inside = package / "shipped" / name
    return inside if inside.exists() else package.parent / name
