"""File formats, each as a walk over its structure and a decoder of its pixels; and the forms of an age."""
