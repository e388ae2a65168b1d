"""Keep a processor busy until somebody ends this."""

while True:
    pass
