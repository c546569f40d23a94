"""The report for people: one HTML page with its figures, images and words."""
