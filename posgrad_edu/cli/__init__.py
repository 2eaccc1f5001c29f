"""The command line, ``posgrad-edu``; ``app.py`` is its entrance."""
