"""What makes the documentation: the site of it, and the pictures in it. Not part of the service."""
