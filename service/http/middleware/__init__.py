"""What surrounds every call.

``context`` is the outermost layer: a request id, a log record and a response for every request, whatever happens.
``site`` rejects the pages of other sites, ``cors`` lets the listed ones call, and ``prefix`` knows the path under which
a proxy publishes the service.
"""
