"""The commands of ``python -m training``. Imports every other room."""
