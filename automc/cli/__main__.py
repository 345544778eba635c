"""``python -m automc.cli``: the command line without its script, for processes that it starts itself."""

from automc.cli import main

main()
