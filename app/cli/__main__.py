"""``python -m app.cli`` is ``tapeline``."""

from app.cli import main

main()
