"""`python -m spider_data`: the same as the command `spider-data`."""

from spider_data.cli.start import start

if __name__ == "__main__":
    start()
