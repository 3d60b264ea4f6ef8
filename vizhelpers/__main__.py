"""``python -m vizhelpers``: see `vizhelpers.course.cli`."""

import sys

from vizhelpers.course.cli import main

if __name__ == "__main__":
    sys.exit(main())
