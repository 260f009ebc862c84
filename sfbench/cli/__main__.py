"""``python -m sfbench.cli``."""

from . import main

raise SystemExit(main())
