"""`python -m rpmask`."""

from rpmask.cli import main

if __name__ == "__main__":
    main()
