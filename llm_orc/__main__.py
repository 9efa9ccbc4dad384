"""`python -m llm_orc` is `llm-orc`."""

import sys

from llm_orc.cli.main import main

sys.exit(main())
