"""What an administrator sees: metrics, drift, logs, also of several workers. Imports the vocabulary only."""
