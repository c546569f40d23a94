"""The calls over HTTP and the page. Imports ``core`` and every room below it."""
