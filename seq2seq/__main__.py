"""`python -m seq2seq` is `seq2seq`."""

import sys

from seq2seq.cli.main import main

sys.exit(main())
