"""From a folder to a bundle that may be served: which version, whether its signature is valid, what its graph costs."""
