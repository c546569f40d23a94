"""The commands of ``python -m service``. Imports every other room but ``oip`` and ``edge``.

``command_line`` is the parser, and calls a function for each command: ``commands`` has most of them, ``bundle`` checks
and signs bundles. ``effective`` reports the settings in effect and the source of each, and ``local`` runs the service
in this process for ``predict`` without ``--url``. ``interrupt`` handles Ctrl-C during the imports.
"""

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130  # exit codes
