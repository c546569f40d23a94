"""From one image to one reading: admission, decoding, batching, the model. There is no HTTP in it. Imports the
vocabulary and ``telemetry``.
"""
