"""What the commands of ``python -m training`` do. Imports every other room."""
