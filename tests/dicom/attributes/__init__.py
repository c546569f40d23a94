"""Tests of the room dicom/attributes."""
