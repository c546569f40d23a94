"""The file formats that are read, each as a walk over its structure and a decoder of its pixels."""
