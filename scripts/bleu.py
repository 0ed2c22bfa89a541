"""`python scripts/bleu.py ...` is `seq2seq bleu ...`."""

import sys

from seq2seq.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bleu", *sys.argv[1:]]))
