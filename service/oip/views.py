"""The names under which a model is served, each with its own inputs and outputs.

Under its own name a model is served whole. Under ``NAME.classifier`` it has one input and one output, because clients
for image classification (Triton's ``image_client``) use no other models. A dot occurs in no name of a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.image import SIDE
from service.inference.model import Model
from service.inference.repository import Repository
from service.oip.wire import Datatype, Input, Output


@dataclass(frozen=True, slots=True)
class View:
    """The inputs and outputs of a model under one name.

    Attributes:
        suffix: follows the model's name.
        inputs: by input: its datatype, and the shape of one image.
        outputs: in the order of the answer.
    """

    suffix: str
    inputs: Mapping[Input, tuple[Datatype, list[int]]]
    outputs: Sequence[Output]


WHOLE = View(
    "",
    {"image": ("UINT8", [SIDE, SIDE, 1]), "file": ("BYTES", [1])},
    ("probability", "label", "warnings", "guard_score", "heatmap"),
)
# FP32, although the pixels are whole numbers: image_client's scalings (-s) then arrive as what they are and are
# refused, while in UINT8 they would wrap around unnoticed.
CLASSIFIER = View(".classifier", {"pixels": ("FP32", [SIDE, SIDE, 1])}, ("probabilities",))
VIEWS = (WHOLE, CLASSIFIER)


@dataclass(frozen=True, slots=True)
class Named:
    """A model under one of its names."""

    model: Model
    view: View

    @property
    def name(self) -> str:
        """The name, as requests use it."""
        return f"{self.model.name}{self.view.suffix}"


def find(repository: Repository, name: str, version: str | None = None) -> Named:
    """The loaded model of a name in a URL; without a version as ``Repository.find``.

    Raises:
        UnknownModel: no model of this name and version is loaded.
    """
    own = name.removesuffix(CLASSIFIER.suffix)
    return Named(repository.find(own, version), WHOLE if own == name else CLASSIFIER)
