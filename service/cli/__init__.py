"""What the commands of ``python -m service`` do. Imports every other room."""
