"""The settings of the models: which one is served, which others there are, and whose signature they must have."""

import re
from pathlib import Path

from pydantic import Field, field_validator

from contract.bundle import NAME_PATTERN, VERSION_PATTERN
from service.settings.network import NetworkSettings, listed
from service.settings.shipped import shipped

_BUNDLED_MODEL = shipped("models/pneumonia/7")


class ModelSettings(NetworkSettings):
    """The part of the settings that concerns bundles, and those of the network."""

    model: Path = Field(
        default=_BUNDLED_MODEL, description="Folder of the model bundle, or of its versions: the highest is served."
    )
    model_key: Path | None = Field(
        default=None,
        description="PEM file of an Ed25519 public key. Set: only bundles signed with its private key are served.",
    )
    repository: Path | None = Field(
        default=None,
        description="Folder of further models, as NAME/VERSION/. Unset: the repository of the served bundle.",
    )
    load: str | None = Field(
        default=None,
        description="Further models to load from the repository at start: NAME/VERSION, comma-separated.",
    )
    model_control: bool = Field(
        default=False, description="Whether a key with the scope admin may load and unload models."
    )

    @field_validator("load")
    @classmethod
    def _models(cls, value: str | None) -> str | None:
        for model in listed(value):
            name, _, version = model.partition("/")
            if not (re.fullmatch(NAME_PATTERN, name) and re.fullmatch(VERSION_PATTERN, version)):
                raise ValueError(f"{model!r} does not name a model: use NAME/VERSION, such as pneumonia/1")
        return value
