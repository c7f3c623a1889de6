"""`python -m trm_cli` is `trm`."""


def main() -> None:
    """Run the command line."""
    from trm_cli.cli.app import app

    app(prog_name="trm")


if __name__ == "__main__":
    main()
