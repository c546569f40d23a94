"""Tests of the room dicom/results."""
