"""From folders of radiographs to batches of pixels: reading, splitting by patient, augmentation, shifts. Imports
``contract`` only.
"""
