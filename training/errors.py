"""Errors that a user of the command line can fix; the message is one line that says how."""


class TrainingError(Exception):
    """The command cannot continue; nothing that was saved is lost."""


class DataError(TrainingError):
    """The data folder does not contain what training needs."""


class ExportError(TrainingError):
    """The exported graph differs from the trained network, or this kind of network cannot be served."""


class WrongUse(Exception):
    """The command was called with wrong arguments: exit code 2."""
