"""Write docs/quality.md: ``make quality``."""

from tools.quality.table import main

raise SystemExit(main())
