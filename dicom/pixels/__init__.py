"""The pixels of an object: what decoding costs, the stored values, and grey levels of them."""
