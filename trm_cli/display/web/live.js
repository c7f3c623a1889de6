// A network that thinks on this page: the player, with moments that a worker computes as they are asked for.

const shipped = run.network, task = TASKS[run.task];
let puzzle = null;  // {tokens, height, width}: what is to be solved
let runNumber = 0;  // of the run at it, so that what an earlier one still computes is dropped
let isBegun = false, isAsked = false, isOver = false;
let broken = "";  // why the worker cannot start
let selected = 0;  // the cell that keys fill in

const worker = new Worker(URL.createObjectURL(new Blob([$("tasks").textContent, $("thinking").textContent])));
worker.postMessage({ kind: "load", network: shipped });
worker.addEventListener("message", ({ data }) => {
  if (data.kind === "error") return fail(data.message);
  if (data.run !== runNumber) return undefined;
  isAsked = false;
  isOver ||= data.done;
  for (const state of data.frames) addMoment({ page: 0, inside: Boolean(state.inside), frames: [frameOf(state)] });
  if (data.frames.length) return arrive();
  isStepping = false;
  return pause();
});

worker.addEventListener("error", () => {
  broken = "this browser cannot run the network; take one of 2023 or later";
  fail(broken);
});

function fail(words) {
  isAsked = false;
  pause();
  say(words);
  return false;
}

// Have the worker compute the next step; false where there is none.
hooks.ask = () => {
  if (broken) return fail(broken);
  if (isOver || (!isBegun && !begin())) return false;
  if (!isAsked) worker.postMessage({ kind: "step", run: runNumber });
  return isAsked = true;
};
hooks.playLabel = () => (isOver && at === moments.length - 1 ? "Replay" : at ? "Go on" : "Solve");
hooks.shown = (hadFocus) => drawCells(hadFocus);

// Check the puzzle as the command line does, and hand it to the worker.
function begin() {
  try {
    readPuzzles(task, task.write(puzzle.tokens));
    refuseBoard(puzzle.tokens.length);
  } catch (error) {
    if (!(error instanceof PuzzleError)) throw error;
    say(error.message);
    return false;
  }
  say("");
  worker.postMessage({ kind: "begin", run: runNumber, puzzle, inner: run.inner });
  return isBegun = true;
}

function refuseBoard(cells) {
  if (shipped.boards.includes(cells)) return;
  throw new PuzzleError(`model '${run.model}' is for grids of ${shipped.board} cells, ` +
    `the puzzles have ${cells} cells; choose another with --model`);
}

// Show a puzzle, not begun.
function pose(next) {
  pause();
  puzzle = next;
  runNumber++;
  isBegun = isAsked = isOver = isStepping = false;
  drawn = null;
  const [height, width, box_height, box_width] = task.shape(puzzle.tokens.length);
  run.puzzles = [[{ height, width, box_height, box_width }]];
  run.trees = [[[]]];
  moments.length = sofar.length = 0;
  for (const key of Object.keys(finished)) delete finished[key];
  addMoment({ page: 0, inside: false, frames: [questionFrame()] });
  buildPad();
  say("");
  show(0);
}

// Show a message, or none, on the page or in a dialog.
function say(words, place = "message") {
  $(place).textContent = words;
  $(place).hidden = !words;
}

const shelf = [];  // puzzles to pick: those that come with the page, and pasted ones

function shelve(puzzles, name) {
  const before = [...$("pick").options].filter(({ text }) => text.startsWith(name)).length;
  puzzles.forEach((one, index) => {
    const option = element("option", "", `${name} ${before + index + 1}`);
    option.value = String(shelf.push(one) - 1);
    $("pick").append(option);
  });
}

// Read puzzles in any spelling; the first is shown, all can be picked. False where a message at `place` says why not.
function take(text, place = "message") {
  let puzzles;
  try {
    puzzles = readPuzzles(task, text);
    refuseBoard(puzzles[0].tokens.length);
  } catch (error) {
    if (!(error instanceof PuzzleError)) throw error;
    say(error.message, place);
    return false;
  }
  const first = shelf.length;
  shelve(puzzles, "pasted");
  $("pick").value = String(first);
  pose(puzzles[0]);
  return true;
}

// Change the puzzle itself by a function of its tokens, false where that means nothing; what was computed was about
// another one.
let own = null;  // what a visitor made of a puzzle
function change(edit) {
  const tokens = puzzle.tokens.slice();
  if (edit(tokens) === false) return false;
  if (tokens.every((token, cell) => token === puzzle.tokens[cell])) return at ? go(0) : undefined;
  own = { ...puzzle, tokens };
  $("own").hidden = false;
  $("pick").value = "";
  return pose(own);
}

const fillIn = (key) => change((tokens) => task.fillIn(tokens, selected, key));

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function select(cell) {
  selected = cell;
  drawCells(true);
}

// What cells are to keys and screen readers; the board was drawn anew.
function drawCells(focuses) {
  const drawn = $("boards").querySelector(".board"), [frame] = moments[at].frames;
  selected = Math.min(selected, drawn.children.length - 1);
  $("side").classList.toggle("posed", at === 0);
  drawn.setAttribute("role", "group");
  const board = `${run.task} of ${puzzle.height} by ${puzzle.width}`;
  drawn.setAttribute("aria-label", `${board}, ${stepOf(frame)}: ${frame.verdict}`);
  [...drawn.children].forEach((cell, place) => {
    const row = Math.floor(place / puzzle.width) + 1, column = (place % puzzle.width) + 1;
    const role = run.roles[frame.roles[place]].name, states = [frame.glyphs[place] || "", role];
    if (frame.violations.includes(place)) states.push("violation");
    if (frame.guessed.includes(place)) states.push("guess");
    cell.setAttribute("role", "button");
    cell.setAttribute("aria-label", `row ${row}, column ${column}: ${states.filter(Boolean).join(", ")}`);
    if (frame.confidence) cell.title = `confidence ${frame.confidence[place]}%`;
    cell.tabIndex = place === selected ? 0 : -1;
  });
  if (focuses) drawn.children[selected].focus({ preventScroll: true });
}

const cellAt = ({ clientX, clientY }) => {
  const drawn = $("boards").querySelector(".board"), found = document.elementFromPoint(clientX, clientY);
  return [...drawn.children].indexOf(found?.closest(".cell"));
};

$("boards").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".cell")) return;
  if (event.key in MOVES) {
    const [down, across] = MOVES[event.key], { height, width } = puzzle;
    const row = Math.max(0, Math.min(height - 1, Math.floor(selected / width) + down));
    const column = Math.max(0, Math.min(width - 1, (selected % width) + across));
    select(row * width + column);
  } else if (event.key === "Escape") {
    event.target.blur();
  } else if (fillIn(event.key) === false) {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
});

// A press selects a cell; where the task says what a stroke does, it begins one.
let stroke = null;
$("boards").addEventListener("pointerdown", (event) => {
  const cell = cellAt(event), isScroll = event.pointerType === "touch" && at > 0;  // over a run that is shown
  if (cell < 0 || event.button || isScroll) return;
  event.preventDefault();
  select(cell);
  stroke = task.stroke?.(puzzle.tokens, cell) ?? null;
  if (stroke) change((tokens) => stroke(tokens, [cell]));
});
document.addEventListener("pointermove", (event) => {
  if (!(event.buttons & 1)) stroke = null;  // it was let go elsewhere
  const cell = stroke ? cellAt(event) : -1;
  if (cell < 0 || cell === selected) return;
  const cells = line(selected, cell);
  selected = cell;
  change((tokens) => stroke(tokens, cells));
  select(cell);
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { stroke = null; });

// The cells after `first` up to `last`: a pointer that moves fast skips some.
function line(first, last) {
  const { width } = puzzle, column = first % width, row = (first - column) / width;
  const across = (last % width) - column, down = Math.floor(last / width) - row;
  const steps = Math.max(Math.abs(across), Math.abs(down));
  return Array.from({ length: steps }, (_, i) => {
    const share = (i + 1) / steps;
    return (row + Math.round(share * down)) * width + column + Math.round(share * across);
  });
}

document.addEventListener("paste", (event) => {
  if (document.querySelector("dialog[open]")) return;
  event.preventDefault();
  take(event.clipboardData.getData("text/plain"));
});

// Symbols of the board to press, where there is no keyboard.
function buildPad() {
  const symbols = task.symbols(puzzle.width);
  $("pad").replaceChildren(...[...symbols, ...(symbols.length ? ["0"] : [])].map((symbol) => {
    const key = element("button", "", symbol === "0" ? "\u232b" : symbol);
    key.type = "button";
    key.setAttribute("aria-label", symbol === "0" ? "empty the cell" : `fill in ${symbol}`);
    key.addEventListener("click", () => {
      fillIn(symbol);
      drawCells(false);
    });
    return key;
  }));
}
$("pad").addEventListener("pointerdown", (event) => event.preventDefault());  // the cell keeps the focus

$("pick").addEventListener("change", () => pose($("pick").value ? shelf[Number($("pick").value)] : own));
bindDialog("write-dialog", "write", "cancel");
bindDialog("card-dialog", "card", "shut");
$("write").addEventListener("click", () => say("", "words-message"));
$("take").addEventListener("click", () => {
  say("", "words-message");
  if (take($("words").value, "words-message")) $("write-dialog").close();
});
$("clear").addEventListener("click", () => change((tokens) => task.clear(tokens)));
$("inner").addEventListener("change", () => {
  run.inner = $("inner").checked;
  pose(puzzle);
});

const ABOUT = "A small neural network solves this puzzle in your browser: each step revises its whole answer.";
const WORDS = task.words(shipped.board);
$("lead").textContent = `${ABOUT} ${WORDS.lead}`;
$("hint").textContent = WORDS.hint;
$("clear").textContent = WORDS.clear;
$("colours").after(element("p", "", `${WORDS.keys} A puzzle can be pasted anywhere.`));
SPEEDS.push(Infinity);
$("forth").textContent = "Step";
$("forth").removeAttribute("aria-label");
$("side").append($("pad"));
$("inner").checked = run.inner;
$("card-words").innerHTML = shipped.card;  // made of text that was escaped
shelve(shipped.examples.flatMap((text) => readPuzzles(task, text)), "example");
pose(shelf[0]);
$("pick").value = "0";
start(shipped.title);
