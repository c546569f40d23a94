"""Who may call: API keys, scopes, quotas, TLS. Imports the vocabulary and ``telemetry``.

Each call declares the scope it requires (``authentication``), which is checked before its body is read. Keys are a file
of hashes (``keys``, written by ``command``) that the running service reloads when it changes (``keyring``), as it does
with a certificate (``tls``); ``watch`` notices the change of either.
"""
