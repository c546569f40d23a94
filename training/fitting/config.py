"""What defines a training run. Saved with it, and with every bundle that comes of it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.split import Strategy


class TrainingConfig(BaseModel):
    """The complete configuration of a run. The defaults are the specification of the networks.

    The data folder is not part of it: a run is defined by the images themselves, through their fingerprint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = Field(default="deep", description="Network: a name in training/networks/architectures.py.")
    normalisation: str = Field(default="rescale", description="Input normalisation; only rescale is served.")
    epochs: int = Field(default=25, ge=1, description="Passes over the training images.")
    batch: int = Field(default=32, ge=1, description="Images a step.")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="sgd, or adamw.")
    learning_rate: float = Field(default=0.001, gt=0, description="The greatest of the run.")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="constant, or cosine: up over the first epoch, then down to final_rate."
    )
    final_rate: float = Field(default=0.01, gt=0, le=1, description="Of the cosine: the last rate over the greatest.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of sgd.")
    weight_decay: float = Field(default=0.0, ge=0, description="Of adamw, on kernels.")
    augmentation: Literal["none", "acquisition", "randomised"] = Field(
        default="none",
        description="acquisition: every image as if taken elsewhere, anew each time; randomised: more so, on the GPU.",
    )
    mixed: float = Field(
        default=0.0, ge=0, le=1, description="Of randomised: the share of images mixed with one of another population."
    )
    class_balance: bool = Field(
        default=False, description="Both classes, of each population and in all of them, weigh the same in the loss."
    )
    start: str = Field(default="", description="Folder of a finished run whose weights are begun with.")
    teachers: str = Field(
        default="",
        description="Folders of finished runs, with commas between: half of each target is their mean probability.",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Labels are drawn towards 1/2 by this share.")
    average_epochs: int = Field(
        default=0, ge=0, description="The last so many epochs' weights are averaged; 0 keeps the best epoch instead."
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        default="float32", description="Of training's arithmetic; what is exported is float32."
    )
    split: Strategy = Field(default="patient", description="patient, or random (flatters; repeats a known protocol).")
    folds: int = Field(default=10, ge=3, description="One fold validates, one tests: 10 holds out 10 % and 10 %.")
    seed: int = Field(default=1, ge=0, description="Of the split, the weights and the order of images.")


SPECIFICATION = "specification"
# Named settings for ``train --recipe``; what is given beside it holds before it.
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
}
