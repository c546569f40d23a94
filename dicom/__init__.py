"""DICOM objects: an object's bytes to a grey picture, and an answer to an object. Pure: no network, no files.

    format -> attributes, pixels -> picture (read)
                                 -> results (written)

``picture`` reads (docs/dicom.md says what is taken, and by which rules); ``results`` has the Structured Report and the
Secondary Capture. It needs the extra ``dicom``; ``service`` imports it when the first object comes.
"""
