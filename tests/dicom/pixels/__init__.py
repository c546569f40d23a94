"""Tests of the room dicom/pixels."""
