"""The error that stops a run before it is complete."""


class StorageError(Exception):
    """The storage refuses, is full or fails. No image is at fault; the run can be resumed. The message is one line."""
