"""Out-of-distribution images: how they are found, classified, counted and scored by the guard."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from contract.bundle import InputGuard, Measured
from tests.bundles import brightness_graph
from tests.drawings import chest, encode
from training.errors import DataError
from training.evaluation.out_of_distribution import ImageGroup, find_image_groups, measure_group

GUARD = InputGuard(
    location=(0.4,) * 64,
    scale=(0.1,) * 64,
    threshold=3,
    false_alarms=Measured(value=0, low=0, high=0),
    chosen_on="drawn images",
    reference=(0.0,) * 21,
)


def guarded_graph() -> bytes:
    """Mean brightness, with the 8 x 8 picture as features."""
    proto = onnx.load_from_string(brightness_graph())
    proto.graph.node.append(helper.make_node("Flatten", ["small"], ["features"]))
    proto.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 64]))
    return bytes(proto.SerializeToString())


def even(kind: str, *greys: int) -> ImageGroup:
    pixels = np.stack([np.full((200, 200, 1), grey, np.uint8) for grey in greys])
    return ImageGroup(kind, pixels, np.array([str(row) for row in range(len(greys))]))


def test_images_are_found_by_kind_and_the_unreadable_named(tmp_path: Path) -> None:
    for kind in ("hands", "screens"):
        (tmp_path / kind).mkdir()
        for seed in range(3):
            (tmp_path / kind / f"{seed}.jpeg").write_bytes(encode(chest(seed)))
    (tmp_path / "hands" / "notes.txt").write_text("not an image")
    hands, screens = find_image_groups(tmp_path, tmp_path / "cache")
    assert (hands.kind, screens.kind) == ("hands", "screens")
    assert hands.pixels.shape == (3, 200, 200, 1)
    assert [skipped.name for skipped in hands.skipped] == ["notes.txt"]
    alone = find_image_groups(tmp_path / "screens", tmp_path / "cache")
    assert [group.kind for group in alone] == ["screens"]
    assert np.array_equal(alone[0].pixels, screens.pixels)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no image"):
            find_image_groups(folder, tmp_path / "cache")


def test_what_is_called_and_flagged_is_counted() -> None:
    group = measure_group(guarded_graph(), even("even greys", 0, 102, 110, 255), 0.41, GUARD)
    assert group.images == 4
    assert group.called_pneumonia.value == 0.5  # 110 and 255 of 255
    assert group.flagged is not None
    assert group.flagged.value == 0.5  # black and white
    assert group.scores == pytest.approx((4, 0, 0.3137, 6), abs=1e-3)


def test_without_a_guard_nothing_is_flagged() -> None:
    group = measure_group(brightness_graph(), even("even greys", 0, 255), 0.5, None)
    assert group.flagged is None
    assert group.scores == ()
    assert group.called_pneumonia.value == 0.5
