"""What ends a run before it is done."""


class StorageError(Exception):
    """Storage that refuses, is full or fails: no image is to blame, and the run can be resumed. One line."""
