"""`python -m trm_cli` is `trm`."""

import sys


def main() -> None:
    """Run the command line."""
    from trm_cli.cli.app import app

    try:
        app(prog_name="trm")
    except SystemExit as ended:
        if "trm_cli.training.distributed" in sys.modules:
            from trm_cli.training.distributed import is_worker, leave

            if is_worker():
                leave(int(ended.code or 0))
        raise


if __name__ == "__main__":
    main()
