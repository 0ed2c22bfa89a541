"""`python scripts/benchmark.py ...` is `seq2seq benchmark ...`."""

import sys

from seq2seq.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
