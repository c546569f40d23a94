"""From folders of radiographs to batches of pixels. Imports ``contract`` and ``errors``.

    folder (files, classes, patients) -> dataset (through the image contract, cached) -> split (by patient) -> batches

Pictures under two names count as one patient. ``augment`` draws each image anew as if acquired elsewhere; ``shifts``
are the pure functions on pixels that augmentation and the stress suite share.
"""
