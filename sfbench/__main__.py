"""``python -m sfbench``: the command line."""

from .cli import main

raise SystemExit(main())
