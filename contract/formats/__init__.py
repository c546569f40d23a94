"""File formats, each as a walk over its structure and a decoder of its pixels; and the forms of an age."""

# How the names of image files end, in lower case.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".dcm", ".dicom")
