"""What defines a training run. Saved with it, and with every bundle that comes of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Strategy = Literal["patient", "random"]


class TrainingConfig(BaseModel):
    """The complete configuration of a run. The defaults are the specification of the networks.

    The data folder is not part of it: a run is defined by the images themselves, through their fingerprint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = Field(default="deep", description="Network: a name in training/architectures.py.")
    normalisation: str = Field(default="rescale", description="Input normalisation; only rescale is served.")
    epochs: int = Field(default=25, ge=1, description="Passes over the training images.")
    batch: int = Field(default=32, ge=1, description="Images a step.")
    learning_rate: float = Field(default=0.001, gt=0, description="Of SGD.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of SGD.")
    split: Strategy = Field(default="patient", description="patient, or random (flatters; repeats a known protocol).")
    folds: int = Field(default=10, ge=3, description="One fold validates, one tests: 10 holds out 10 % and 10 %.")
    seed: int = Field(default=1, ge=0, description="Of the split, the weights and the order of images.")
