"""`trm watch` on stdout: a live screen on a terminal, plain frames elsewhere."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console

from trm_cli.display.console import answers_console, has_colour
from trm_cli.display.plain_frames import plain_lines
from trm_cli.display.player import Pace, Player
from trm_cli.display.scene import Scene
from trm_cli.display.views import Look
from trm_cli.solving.frames import Header, Moment

TERMINAL_PAUSE = 0.6  # seconds that a step stays if nothing is said


@dataclass
class Record:
    """What came by: counted for the verdict, and kept for what is saved."""

    keeps: bool  # the moments
    moments: list[Moment] = field(default_factory=list)
    num_ended: int = 0
    num_solved: int = 0

    def passing(self, source: Iterator[Moment]) -> Iterator[Moment]:
        """The same moments, noted as they pass."""
        for moment in source:
            if self.keeps:
                self.moments.append(moment)
            ended = [frame for frame in moment.new_frames if frame.is_last]
            self.num_ended += len(ended)
            self.num_solved += sum(frame.solved for frame in ended)
            yield moment


@dataclass(frozen=True)
class Viewer:
    """Shows a run the way that stdout can."""

    header: Header
    pause: float | None = None  # seconds that a step stays; None for what suits the place
    fps: float = 20.0  # times a second that a screen is drawn anew, at most
    quiet: bool = False  # nothing but how it ended
    console: Console = field(default_factory=answers_console)

    def show(self, source: Iterator[Moment], record: Record) -> None:
        """Show moments until they end or someone quits."""
        passing = record.passing(source)
        if self.quiet:
            for _ in passing:
                pass
        elif self.console.is_terminal and not self.console.is_dumb_terminal:
            self._play(passing)
        else:
            self._print(passing)
        if self.header.num_puzzles > 1 or self.quiet:
            told = f"{record.num_solved} of {self.header.num_puzzles} {self.header.task.praise}"
            missed = self.header.num_puzzles - record.num_ended
            self.console.print(f"{told}, {missed} not finished" if missed else told)

    @property
    def _ascii_only(self) -> bool:
        return not self.console.encoding.lower().startswith("utf")

    def _play(self, moments: Iterator[Moment]) -> None:
        """Play on a screen of its own, then leave the last scene where the command was typed."""
        look = Look(ascii_only=self._ascii_only, marks=not has_colour(self.console))
        pace = Pace(TERMINAL_PAUSE if self.pause is None else self.pause, self.fps)
        player = Player(moments, self.header, pace=pace, look=look, console=self.console)
        if history := player.play():
            width, height = self.console.size
            for line in Scene(history[-1], self.header, look).lines(width, height)[:-1]:
                self.console.print(line)

    def _print(self, moments: Iterator[Moment]) -> None:
        """Print one plain frame a step."""
        for moment in moments:
            for line in plain_lines(moment, self.header, ascii_only=self._ascii_only):
                self.console.file.write(line + "\n")
            self.console.file.flush()
            time.sleep(self.pause or 0.0)
