"""The configuration of a training run. It is saved with the run and in the manifest of every bundle made from it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.strategy import Strategy


class TrainingConfig(BaseModel):
    """The complete configuration of a run. The defaults are the specification of the networks.

    The data folder is not part of it: a run identifies its images by their fingerprint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: str = Field(default="deep", description="Network: a name in training/networks/architectures.py.")
    normalisation: str = Field(default="rescale", description="Input normalisation; only rescale can be served.")
    epochs: int = Field(default=25, ge=1, description="Passes over the training images.")
    batch: int = Field(default=32, ge=1, description="Images per step.")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="sgd, or adamw.")
    learning_rate: float = Field(default=0.001, gt=0, description="The peak of the schedule.")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="constant, or cosine: warm-up in the first epoch, then decay to final_rate."
    )
    final_rate: float = Field(
        default=0.01, gt=0, le=1, description="Of cosine: the last learning rate as a fraction of the peak."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of sgd.")
    weight_decay: float = Field(default=0.0, ge=0, description="Of adamw, on kernels.")
    augmentation: Literal["none", "acquisition", "randomised"] = Field(
        default="none",
        description="none; acquisition: random changes of position, exposure, sharpness and file; randomised: "
        "wider ones, computed on the device that trains.",
    )
    mixed: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Of randomised: the fraction of images mixed with one of another population.",
    )
    exchanged: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Of randomised: the fraction of images whose borders come from another image, of any label.",
    )
    class_balance: bool = Field(
        default=False, description="Weigh both classes of every population equally in the loss."
    )
    start: str = Field(
        default="",
        description="Folder of a finished run, or of a bundle (compact, efficientnet-lite): the initial weights.",
    )
    start_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Of start: the share of the initial weights in the final ones, if epochs are averaged.",
    )
    teachers: str = Field(
        default="",
        description="Folders of finished runs, separated by commas: half of each target is their mean probability.",
    )
    lungs: float = Field(
        default=0.0,
        ge=0,
        description="Of efficientnet-lite: weight in the loss of the share of evidence that lies outside the lungs.",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Move labels towards 1/2 by this fraction.")
    average_epochs: int = Field(
        default=0, ge=0, description="Average the weights of this many last epochs; 0 keeps the best epoch instead."
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        default="float32", description="Precision of training; the export is always float32."
    )
    split: Strategy = Field(default="patient", description="patient, or random (too optimistic; a known protocol).")
    folds: int = Field(default=10, ge=3, description="One fold validates, one tests: 10 holds out 10 % and 10 %.")
    seed: int = Field(
        default=1, ge=0, le=2**32 - 1, description="Seed of the split, the weights and the order of images."
    )


SPECIFICATION = "specification"
# Named settings for ``train --recipe``; options given in addition override them.
RECIPES: dict[str, dict[str, Any]] = {
    SPECIFICATION: {},
    "robust": {
        "architecture": "compact",
        "epochs": 120,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "weight_decay": 0.15,
        "augmentation": "acquisition",
        "class_balance": True,
        "label_smoothing": 0.05,
        "average_epochs": 10,
    },
    "populations": {
        "architecture": "compact",
        "epochs": 150,
        "batch": 64,
        "optimizer": "adamw",
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "weight_decay": 0.15,
        "augmentation": "randomised",
        "mixed": 0.3,
        "class_balance": True,
        "label_smoothing": 0.05,
        "average_epochs": 20,
    },
    "pretrained": {
        "architecture": "efficientnet-lite",
        "epochs": 16,
        "batch": 32,
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "schedule": "cosine",
        "weight_decay": 0.05,
        "augmentation": "randomised",
        "mixed": 0.3,
        "class_balance": True,
        "label_smoothing": 0.05,
        "average_epochs": 5,
    },
}
