"""Tests of the room dicom/format."""
