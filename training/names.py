"""The layers that exporting looks for in a network."""

# The last feature maps; the dense layer after them, where there is one; the layer that ends in the probability.
MAPS, HIDDEN, PROBABILITY = "maps", "hidden", "probability"
# Feature maps that tell the input guard what kind of picture it is, from the first layers to the last.
TAPS = ("tap_stem", "tap_shallow", "tap_middle", MAPS)
