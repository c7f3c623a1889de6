"""`python -m trm_cli` is `trm`."""

from trm_cli.cli.app import app

if __name__ == "__main__":
    app(prog_name="trm")
