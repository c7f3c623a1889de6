"""What `trm` adds to Typer's commands: variables for options, errors in one line, help of its own."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from trm_cli.cli.help import first_sentence, write_help
from trm_cli.cli.streams import drop_stdout
from trm_cli.errors import ModelError, TRMError, UsageError, did_you_mean, printable
from trm_cli.model.ranks import own_rank
from trm_cli.schema import shown

INTERRUPTED, BROKEN_PIPE = 130, 141  # exit codes
OF_SIGNALS = 128  # and the number of the one that ended a command, as shells say it
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
SHARED = ("model", "device", "dtype", "threads", "batch_size")  # also read from TRM_NAME, for every command
USAGE_ERROR: Any = typer.BadParameter.__base__  # of click, which Typer carries under a private name


class Command(TyperCommand):
    """A command whose options can be given as variables, too: TRM_SOLVE_SEED, or TRM_DEVICE for every command."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse, with variables behind the options."""
        prefix = _prefix(info_name or "", parent)
        for param in self.params:
            param.envvar = _variables(param, prefix) or param.envvar
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run; an error about a value that came from a variable names that."""
        try:
            return super().invoke(ctx)
        except TRMError as error:
            for param in self.params:
                variable, value = variable_of(ctx, param), ctx.params.get(param.name)
                flags = tuple(f"{flag}{end}" for flag in param.opts for end in " :")
                is_quoted = isinstance(value, str) and repr(value) in str(error)
                if variable and (str(error).startswith(flags) or is_quoted):
                    error.args = (f"{error} (from the variable {variable})",)
            raise

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence, whole, beside a completion."""
        return first_sentence(self)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_help(self, ctx, formatter, last=self._about_variables(ctx))

    def _about_variables(self, ctx: Any) -> str:
        """An example of a variable, and the names of those that hold for every command."""
        prefix = _prefix(ctx.info_name or "", ctx.parent)
        named = {param: _variables(param, prefix) for param in self.params if param.metavar}
        named = {param: variables for param, variables in named.items() if variables}
        if not named:
            return ""
        shared = [variables[1] for variables in named.values() if len(variables) > 1]
        own = [param for param, variables in named.items() if len(variables) == 1] or [*named]
        example = next((param for param in own if param.metavar == "N"), own[-1])
        everywhere = f"; {', '.join(shared)} in all commands" if shared else ""
        return f"Variables can stand for options: {named[example][0]} for {max(example.opts, key=len)}{everywhere}."


class Group(TyperGroup):
    """Commands by name. A similar name is suggested; `trm` alone and `trm help` show help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let no words, or `help` before some, ask for help."""
        if not ctx.resilient_parsing and (not args or (args[0] == "help" and ctx.parent is None)):
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; raises UsageError that suggests one where there is none of that name."""
        if args[0] not in self.commands and not ctx.resilient_parsing and not args[0].startswith("-"):
            guess = did_you_mean(args[0], self.commands) or f"; choose from: {', '.join(self.commands)}"
            raise UsageError(f"{args[0]!r} is not a command of {ctx.command_path}{guess}")
        return super().resolve_command(ctx, args)

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence, whole, beside a completion."""
        return first_sentence(self)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_help(self, ctx, formatter, last="")

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what goes wrong in it that is no bug becomes one line and an exit code."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # until now, see __main__.py
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)
        with user_errors():
            _refuse_lost_folder()
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse and run; what cannot be parsed becomes one line, too."""
        try:
            with user_errors():
                code = self._parse_and_run(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (TRMError, USAGE_ERROR) as error:
            if not standalone_mode:
                raise
            _say(_usage_line(error))
            code = error.exit_code
        except typer.Exit as ended:
            code = ended.exit_code
        if standalone_mode:
            sys.exit(code)
        return code

    def _parse_and_run(self, *how: Any, **extra: Any) -> Any:
        """What Click makes an exit of, a broken pipe, is an error again."""
        try:
            return super().main(*how, **extra)
        except SystemExit as ended:
            if isinstance(ended.__context__, OSError):
                raise ended.__context__ from None
            raise


def _end(number: int, _frame: FrameType | None) -> None:
    """Leave as after a mistake: what is half written goes, the cursor comes back."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(OF_SIGNALS + number)


def _refuse_lost_folder() -> None:
    """Raise UsageError where the current folder was removed: mathematical libraries end without a word there."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder is no longer there; change to another") from error


@contextmanager
def user_errors() -> Iterator[None]:
    """End a command on a user's error: one line on stderr, the error's exit code, no traceback."""
    try:
        yield
        sys.stdout.flush()
    except TRMError as error:
        _say(str(error))
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        if not own_rank():  # the first of several workers speaks for all
            _say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader went away: leave quietly
        drop_stdout()
        raise typer.Exit(BROKEN_PIPE) from None
    except MemoryError as error:
        _say(f"too little memory{f' ({error})' if str(error) else ''}; give it more, or fewer puzzles at a time")
        raise typer.Exit(ModelError.exit_code) from None
    except ImportError as error:
        reason: BaseException = error
        while reason.__cause__:
            reason = reason.__cause__
        _say(f"{error.name or 'a package'} cannot be loaded ({reason}); free memory, or install trm again")
        raise typer.Exit(ModelError.exit_code) from None
    except OSError as error:
        drop_stdout()
        todo = "; check the path and its permissions" if error.filename else ""
        _say(f"{error.filename or 'stdout'}: {error.strerror or error}{todo}")
        raise typer.Exit(UsageError.exit_code) from None


def _say(line: str) -> None:
    typer.echo(f"trm: {printable(line)}", err=True)


def _prefix(name: str, parent: Any) -> str:
    """Of a command's variables: TRM_SOLVE, TRM_BENCH_TRAIN."""
    words = [name]
    while parent is not None and parent.parent is not None:
        words.insert(0, parent.info_name)
        parent = parent.parent
    return "_".join(["TRM", *words]).upper()


def known_variables(group: Any, prefix: str = "TRM") -> set[str]:
    """The names of every variable that stands for an option of a group's commands."""
    known = set()
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            known |= known_variables(command, f"{prefix}_{name}")
        for param in command.params:
            known |= set(_variables(param, f"{prefix}_{name}"))
    return known


def _variables(param: Any, prefix: str) -> list[str]:
    """The names of those that stand for an option, the first that is set counts; an argument has none."""
    if param.param_type_name != "option":
        return []
    name = max(param.opts, key=len).strip("-").replace("-", "_")
    names = [f"{prefix}_{name}", *[f"TRM_{name}"] * (name in SHARED)]
    return [name.upper() for name in names]


def variable_of(ctx: Any, param: Any) -> str | None:
    """The variable that a parameter's value came from."""
    source = ctx.get_parameter_source(param.name)
    if source is None or source.name != "ENVIRONMENT":
        return None
    return str(next(name for name in param.envvar if os.environ.get(name)))


def _usage_line(error: Any) -> str:
    """What is wrong with the words of a command line, and where help is."""
    if isinstance(error, TRMError):
        return str(error)
    ctx, param = error.ctx, getattr(error, "param", None)
    if flag := getattr(error, "option_name", None) if "No such option" in error.message else None:
        flags = [flag for param in ctx.command.get_params(ctx) for flag in (*param.opts, *param.secondary_opts)]
        said = f"no such option: {flag}{did_you_mean(flag, [flag for flag in flags if flag.startswith('--')])}"
    elif param is not None and (variable := variable_of(ctx, param)):
        said = f"{param.opts[0]} {os.environ[variable]} (from the variable {variable}): {_reason(error)}"
    elif param is not None and error.message:
        said = f"{param.opts[-1]}: {_reason(error)}"
    else:
        said = _lower(error.format_message()).replace("'", "")
    said = " ".join(said.rstrip(".").split())
    if ctx is None:
        return said
    return f"{said}{' See' if said.endswith('?') else '; see'} `{ctx.command_path} -h`"


def _reason(error: Any) -> str:
    """Why a value is none; Typer passes on what pydantic says, whose words are a programmer's."""
    found: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not found:
        return _lower(error.message)
    kind, limits, value = found[0]["type"], found[0].get("ctx", {}), found[0]["input"]
    if kind.startswith(("int", "float", "finite")):
        expected = f"a {'whole ' * kind.startswith('int')}number"
    elif "ge" in limits:
        expected = f"{limits['ge']:,} or more"
    elif "le" in limits:
        expected = f"{limits['le']:,} or less"
    else:
        return _lower(error.message)
    return f"expected {expected}, got {shown(value)}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
