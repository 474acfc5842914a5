"""Modal screens with a typed answer, one a file."""
