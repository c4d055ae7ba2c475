"""`python -m interank` is the `interank` command."""

import sys

from interank.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
