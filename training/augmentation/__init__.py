"""Images as another machine and operator would have taken them, and the batches of an epoch. Imports ``data`` too.

    dataset -> batches: each image by ``augment`` on CPUs; or a whole batch by ``randomise`` (``kinds``, ``overlays``)

``shifts`` holds the pure functions on pixels that augmentation and the stress suite share.
"""
