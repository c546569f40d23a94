"""What is written about an object: the Structured Report and the Secondary Capture."""
