"""What ``docs/lab/export.py`` is made of."""
