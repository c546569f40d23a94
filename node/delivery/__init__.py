"""Results to their destinations, until each is acknowledged.

``deliverer`` sends to one destination with growing pauses: by C-STORE (``cstore``) or STOW-RS (``stow``); ``outcomes``
says which failures are final.
"""
