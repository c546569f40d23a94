"""Finds the images of the sources, and reads them.

``finding`` turns sources into one ordered stream of items: ``listing`` walks folders and prefixes, ``archives`` lists
and reads tar and zip files. ``items`` reads the bytes of one item.
"""
