"""The command ``predict``: files to answers, by a service at an address or by a model that is handed in. Imports the
vocabulary only.
"""
