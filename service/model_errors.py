"""Why a model cannot be had, or not be asked so. Every message is safe to show."""


class ModelError(Exception):
    """Of the Open Inference Protocol and the repository of models; the message says why, in words for the caller."""


class InvalidInference(ModelError):
    """A request of the Open Inference Protocol that is not one."""


class UnknownModel(ModelError):
    """A model, or a version of it, that is not loaded; or that cannot be, because there is none."""


class ModelConflict(ModelError):
    """A model that cannot be loaded or unloaded as things are."""


class UnsoundModel(ModelError):
    """A model that was to be loaded, and cannot be served."""
