"""Entry point of `python -m LMIDiffusionLib`."""

from .cli import main

if __name__ == "__main__":
    main()
