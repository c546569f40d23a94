"""Who may call: API keys, scopes, quotas, TLS. Imports the vocabulary only."""
