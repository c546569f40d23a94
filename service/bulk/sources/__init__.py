"""What is to be read, and the reading of it.

``finding`` turns sources into one ordered stream of items: ``listing`` walks folders and prefixes, ``archives`` lists
and reads tar and zip files. ``items`` gives the bytes of one item.
"""
