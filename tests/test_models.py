"""The bundles in the repository. One that has been released is never edited: a new one gets a new version."""

import pytest

from contract.bundle import MANIFEST, read_bundle, sha256
from tests import ROOT

# SHA-256 of the manifest, which holds those of the other files.
RELEASED = {
    "pneumonia/1": "1dd2093806614eee917c783053bec1534e106b197ee27f275cc5e9587fc5a1d8",
    "pneumonia/2": "c307ab45f26ef3a738cff0982aba78b5ef5f31b6cfe9f3e1b1af58a5bb6e6f23",
    "pneumonia/3": "653e2081fd2e94df188c6d0e1dfd5176e2cd65c5f93765e6ca2f7663991b98fa",
    "pneumonia/4": "9fc4cd5fa339f8e311a3f45446c0ad8d388f8d46fdcd546de7a7fac66dc957fb",
    "pneumonia/5": "3d7671987ce1920938caf072a815631a8b605c552029a68c6e36c3d9c6f0a0fd",
    "pneumonia/6": "16bcdcd6d7467cd136249a344ab6001790b973777335374b431e75320eeeb731",
    "pneumonia/7": "51b19ec68c00556ceca1f4066233128d999f5a034004e350d48564f255e5ad1b",
}


def test_every_bundle_is_in_the_table() -> None:
    models = ROOT / "models"
    assert {str(path.parent.relative_to(models)) for path in models.glob(f"*/*/{MANIFEST}")} == RELEASED.keys()


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_bundle_is_unchanged(name: str) -> None:
    folder = ROOT / "models" / name
    assert sha256((folder / MANIFEST).read_bytes()) == RELEASED[name]
    read_bundle(folder)  # checks the digests of the other files
