"""The edge: HTTP/1.1 connections, from the bytes of a client to ASGI and back. Knows no endpoint and no model."""
