"""The commands of ``python -m service``. Imports every other room."""
