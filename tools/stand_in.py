"""The content of the screenshots: drawn radiographs, and a model that detects what was drawn.

No patient is in it, and nothing that a picture shows is a result of the served model: that one was trained on real
radiographs and rightly warns about drawn ones. All else is: the page, the service, the default model's name, card and
operating points.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter

from contract.bundle import CARD, GRAPH, InputGuard, Measured, read_bundle, sha256, write_bundle
from contract.image import SIDE, to_pixels

_WIDTH, _HEIGHT = 620, 560
_EXIF_ORIENTATION, _UPSIDE_DOWN = 0x0112, 3


def radiograph(seed: int = 0, opacity: float = 0.0) -> Image.Image:
    """A drawing of a frontal chest radiograph.

    Args:
        seed: of noise.
        opacity: how bright a consolidation lies in the lung on the left of the picture, 0..1.

    Returns:
        Mode L, 620 x 560.
    """
    y, x = np.mgrid[-1 : 1 : _HEIGHT * 1j, -1 : 1 : _WIDTH * 1j]
    shoulders = 0.62 + 0.3 * _step(y + 0.75, 0.12)
    grey = 12 + 128 * _step(shoulders - abs(x), 0.05)
    lungs = sum(_ellipse(x, y, side * (0.4 + 0.04 * y), 0.0, 0.28, 0.66) for side in (-1, 1))
    lungs *= 1 - _step(y - 0.42 + 0.5 * (abs(x) - 0.38) ** 2, 0.05)
    ribs = 0.5 + 0.5 * np.cos(2 * np.pi * (5.2 * y - 1.6 * (abs(x) - 0.35) ** 2))
    grey += lungs * (24 * ribs**3 - 96)
    spine = np.exp(-((x / 0.07) ** 2)) * (26 + 8 * np.cos(2 * np.pi * 6 * y))
    heart = 62 * _ellipse(x, y, 0.12, 0.24, 0.27, 0.25)
    clavicles = 26 * np.exp(-(((y + 0.66 - 0.12 * abs(x)) / 0.03) ** 2)) * _step(0.72 - abs(x), 0.05)
    patch = np.exp(-(((x + 0.42) / 0.13) ** 2) - ((y - 0.16) / 0.15) ** 2)
    grey += spine + heart + clavicles + 95 * opacity * patch
    grey += np.random.default_rng(seed).normal(0, 7, grey.shape)
    drawn = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return drawn.filter(ImageFilter.GaussianBlur(1.2))


def _step(distance: NDArray[Any], width: float) -> NDArray[Any]:
    """0 outside, 1 inside, soft over ``width``."""
    return np.asarray(1 / (1 + np.exp(-4 * distance / width)))


def _ellipse(x: NDArray[Any], y: NDArray[Any], left: Any, top: float, width: float, height: float) -> NDArray[Any]:  # noqa: PLR0913, PLR0917  a place and a size
    return _step(1 - np.hypot((x - left) / width, (y - top) / height), 0.35)


def files() -> list[tuple[str, bytes]]:
    """Names and contents of what is dropped on the page: findings, none, and three that need attention."""
    cases = [_png(radiograph(seed, opacity)) for seed, opacity in enumerate([0.1, 0.95, 0.6, 0.88, 0.0, 0.4])]
    named = [(f"case-{number:02}.png", data) for number, data in enumerate(cases, start=1)]
    turned = Image.Exif()
    turned[_EXIF_ORIENTATION] = _UPSIDE_DOWN
    upside_down = _png(radiograph(7, 0.9).transpose(Image.Transpose.ROTATE_180), exif=turned)
    letter = Image.new("L", (_WIDTH, _HEIGHT), 235)
    return [
        *named[:3],
        ("scan.png", cases[0][:-20_000]),
        named[3],
        ("rotated.png", upside_down),
        *named[4:],
        ("letter.png", _png(letter)),
    ]


def _png(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def write_stand_in(folder: Path, model: Path) -> None:
    """Write a bundle with the name, card and operating points of a model, and a graph that finds drawn opacities.

    Args:
        folder: of the new bundle; it does not exist.
        model: folder of the bundle that it stands in for.
    """
    bundle = read_bundle(model)
    contents = {GRAPH: _graph(), CARD: bundle.card.encode()}
    nothing = Measured(value=0, low=0, high=0)
    guard = InputGuard(
        location=(0.4, 0.003),
        scale=(0.019, 0.02),
        threshold=1.5,
        false_alarms=nothing,
        chosen_on="nothing: drawn",
        reference=tuple(level / 10 for level in range(21)),
    )
    changed: dict[str, Any] = {"files": {name: sha256(data) for name, data in contents.items()}, "cpu_graph": GRAPH}
    changed |= {"input_guard": guard, "drift_reference": None, "heatmap_method": "what is brighter than the drawing"}
    write_bundle(folder, bundle.manifest.model_copy(update=changed), contents)


def _graph() -> bytes:
    """Evidence at a place: how much brighter it is than in the drawing without an opacity."""
    healthy = to_pixels(_png(radiograph())).astype(np.float32) / 255
    constants = {"full": np.float32(255), "healthy": healthy[None], "margin": np.float32(0.05), "gain": np.float32(4)}
    constants |= {"steep": np.float32(2000), "shift": np.float32(-4.0), "zero": np.float32(0), "one": np.float32(1)}
    constants["channel"], constants["last"] = np.array([1]), np.array([3])
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "healthy"], ["difference"]),
        helper.make_node("Sub", ["difference", "margin"], ["over"]),
        helper.make_node("Relu", ["over"], ["excess"]),
        helper.make_node("Squeeze", ["excess", "last"], ["grey"]),
        helper.make_node("Unsqueeze", ["grey", "channel"], ["nchw"]),
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Squeeze", ["pooled", "channel"], ["places"]),
        helper.make_node("Mul", ["places", "gain"], ["evidence"]),
        helper.make_node("Clip", ["evidence", "zero", "one"], ["heatmap"]),
        helper.make_node("ReduceMean", ["excess"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "steep"], ["steeper"]),
        helper.make_node("Add", ["steeper", "shift"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("ReduceMean", ["scaled"], ["light"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMean", ["difference"], ["unlike"], axes=[1, 2], keepdims=0),
        helper.make_node("Concat", ["light", "unlike"], ["features"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])
    shapes = {"probability": ["N"], "heatmap": ["N", 25, 25], "features": ["N", 2]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "stand-in", [image], outputs, initial)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())
