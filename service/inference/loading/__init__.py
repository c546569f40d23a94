"""From a folder to a bundle that may be served: which one, whether it is trusted, and what it takes."""
