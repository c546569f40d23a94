"""DICOM objects: an object's bytes to a grey picture, and the answer to it as an object. No network, no files.

    format -> attributes, pixels -> picture (read)
                                 -> results (written)

``picture`` reads (docs/dicom.md has the supported objects and the rules); ``results`` has the Structured Report and the
Secondary Capture. It needs the extra ``dicom``; ``service`` imports it when the first object arrives.
"""
