"""The command ``predict``: analyses image files with a remote service, or with a local model that is passed in.
Imports the vocabulary only.
"""
