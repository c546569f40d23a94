"""What a user of the command line can put right; the message is one line saying how."""


class TrainingError(Exception):
    """The command cannot go on; nothing that was saved is lost."""


class DataError(TrainingError):
    """The data folder does not hold what training needs."""


class ExportError(TrainingError):
    """The exported graph is not the network that was trained, or this network is not one that is served."""


class WrongUse(Exception):
    """A command that was called wrongly: exit code 2."""
