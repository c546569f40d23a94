"""The layers that exporting looks for in a network."""

# The last feature maps; the dense layer after them, where there is one; the layer that ends in the probability.
MAPS, HIDDEN, PROBABILITY = "maps", "hidden", "probability"
# The coarse maps that tell the input guard what kind of picture it is.
LAYOUT = "layout"
