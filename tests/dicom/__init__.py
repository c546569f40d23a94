"""Tests of the package dicom."""
