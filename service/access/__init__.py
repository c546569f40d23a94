"""Access control: API keys, scopes, quotas, TLS. Imports the vocabulary and ``telemetry``.

Each route declares the scope that it requires (``authentication``); it is checked before the body is received. The key
file holds hashes of the keys (``keys``, changed by ``command``). The running service reloads it when it changes
(``keyring``), and the TLS certificate as well (``tls``); ``watch`` detects the changes.
"""
