"""DICOM objects: an object's bytes to a grey picture, and an answer to an object. Pure: no network, no files.

``picture`` reads (docs/dicom.md says what is taken, and by which rules), ``report`` writes the Structured Report and
``capture`` the Secondary Capture. It needs the extra ``dicom``; ``service`` imports it when the first object comes.
"""
