"""`python -m trm_cli` is `trm`."""

import signal
import sys


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once what has not begun yet; commands do better
    from trm_cli.cli.streams import mend_streams

    mend_streams()
    from trm_cli.cli.app import app

    try:
        app(prog_name="trm")
    except SystemExit as ended:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code is known: only Python has to leave
        if "trm_cli.model.ranks" in sys.modules:
            from trm_cli.model.ranks import is_worker, leave

            if is_worker():
                leave(int(ended.code or 0))
        raise


if __name__ == "__main__":
    main()
