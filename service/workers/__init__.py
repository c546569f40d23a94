"""The server process, or several on one port. ``app`` is the ASGI app around a service, ``overload`` what rejects
requests at capacity; these two alone import ``http``, and ``app`` alone ``oip``.

``server`` runs one service on a port until SIGTERM, and shuts it down in order.

The ``parent`` binds the port, forks the workers while there are only settings, a bundle and a socket, and replaces
those that die. A ``worker`` is a whole service with its share of threads and slots; it stops when its parent is gone.
The ``connection_balancer`` spreads connections by how many each worker has, published in
``service.telemetry.worker_table`` (docs/decisions/0011-several-workers.md).

``silence`` finds workers that hang, ``watchdog`` ends a process whose event loop hangs, and ``grace`` one whose
shutdown hangs (docs/decisions/0026-the-end-within-the-grace.md).

SIGHUP replaces the model: ``reload`` in a process that serves alone. With several workers the parent's ``coordinator``
orders and each worker's ``follower`` carries out, by records in shared memory (``swap``), in all workers or in none
(docs/decisions/0027-hot-swap.md).
"""
