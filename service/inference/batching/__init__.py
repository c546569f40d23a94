"""Images in front of a model: one queue where batches pay, and the calls that score them."""
