"""The HTTP endpoints and the browser page. May import ``core`` and every room below it."""
