"""What both sides obey: the image contract (``image``) and the model bundle (``bundle``).

``service`` and ``training`` import this package and never each other.
"""
