"""Code shared by several transforms."""
