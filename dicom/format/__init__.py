"""A DICOM file as bytes: its structure (PS3.10, PS3.5), its transfer syntax, and values that may break their VR."""
