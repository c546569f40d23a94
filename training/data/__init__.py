"""From folders of radiographs to batches of pixels. Imports ``contract`` and ``errors``.

    folder (files, classes, patients) -> dataset (through the image contract, cached) -> split (by patient) -> batches

One image under two names counts as one patient. ``augment`` changes each image randomly, as if another machine and
operator had taken it; ``shifts`` holds the pure functions on pixels that augmentation and the stress suite share.
"""
