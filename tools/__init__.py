"""Tools for development: the documentation site and its pictures, weights of ImageNet, attacks on the service."""
