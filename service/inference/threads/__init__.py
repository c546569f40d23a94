"""The threads that decode and score: how many, what each does next, how results reach the event loop."""
