// A network that thinks on this page: the player, with moments that a worker computes as they are asked for.

const shipped = run.network, task = TASKS[run.task];
const GUESS_SHOWN = 2;  // steps of a node in which the guesses that it takes back are shown
let puzzle = null;  // {tokens, height, width}: what is to be solved
let runNumber = 0;  // of the run at it, so that what an earlier one still computes is dropped
let isBegun = false, isAsked = false, isOver = false;
let last = null;  // the latest finished step, as the worker told it
let nodes = [];  // of the tree: the latest of each attempt
let selected = 0;  // the cell that keys fill in

const worker = new Worker(URL.createObjectURL(new Blob([$("tasks").textContent, $("thinking").textContent])));
worker.postMessage({ kind: "load", network: shipped });
worker.addEventListener("message", ({ data }) => {
  if (data.kind === "error") {
    pause();
    return say(data.message);
  }
  if (data.run !== runNumber) return undefined;
  isAsked = false;
  isOver ||= data.done;
  for (const state of data.frames) addMoment({ page: 0, inside: Boolean(state.inside), frames: [frameOf(state)] });
  if (data.frames.length) return arrive();
  isStepping = false;
  return pause();
});

// Have the worker compute the next step; false where there is none.
hooks.ask = () => {
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
  throw new PuzzleError(`model '${run.model}' is for grids of ${shipped.board} cells, the puzzles have ${cells} cells; ` +
    "choose another with --model");
}

// Show a puzzle, not begun.
function pose(next) {
  pause();
  puzzle = next;
  runNumber++;
  isBegun = isAsked = isOver = isStepping = false;
  last = drawn = null;
  nodes = [];
  const [height, width, box_height, box_width] = task.shape(puzzle.tokens.length);
  run.puzzles = [[{ height, width, box_height, box_width }]];
  run.trees = [[[]]];
  moments.length = sofar.length = 0;
  for (const key of Object.keys(finished)) delete finished[key];
  const max_steps = shipped.settings.max_steps;
  addMoment({ page: 0, inside: false, frames: [frameOf({ step: 0, max_steps, answer: puzzle.tokens, attempt: 0,
    guesses: [], seconds: 0, confidence: null, halt_probability: null, change_y: null, change_z: null })] });
  say("");
  show(0);
}

// A state of the worker as the player draws it, in the words of the terminal.
function frameOf(state) {
  const { tokens, width } = puzzle, before = last, isInside = Boolean(state.inside);
  const cells = task.cells(tokens, state.answer), places = [...tokens.keys()];
  const violations = state.confidence ? task.violations(tokens, state.answer).map(({ cell }) => cell) : [];
  const named = ({ cell, token }) =>
    `r${Math.floor(cell / width) + 1}c${(cell % width) + 1}=${task.write(tokens.map(() => token))[0]}`;
  const isMade = ({ cell, token }) => state.guesses.some((guess) => guess.cell === cell && guess.token === token);
  const back = state.attempt === before?.attempt ? before.back : before ? before.guesses.filter((g) => !isMade(g)) : [];
  const isBackShown = state.step <= GUESS_SHOWN, guessed = inOrder(state.guesses);
  const tried = 1 + Math.max(state.attempt, before?.attempt ?? 0), number = (state.attempt + 1).toLocaleString("en");
  const measured = isInside ? before ?? { change_y: null, change_z: null, seconds: 0 } : state;
  const about = {
    ...state, back, inside: isInside, tried, violations, solved: Boolean(state.confidence) && !violations.length,
  };
  if (state.step && (!isInside || !nodes[state.attempt])) noteNode(about, named);
  if (state.step && !isInside) last = about;
  if (state.is_last) isOver = true;
  return {
    place: 0, step: state.step, max_steps: state.max_steps, inside: isInside, attempt: state.attempt, tried,
    change_y: measured.change_y, change_z: measured.change_z, seconds: measured.seconds, violations,
    glyphs: cells.map(({ glyph }) => glyph),
    roles: cells.map(({ role }) => run.roles.findIndex(({ name }) => name === role)),
    confidence: state.confidence && Array.from(state.confidence, (share) => Math.round(100 * share)),
    changed: state.step ? places.filter((cell) => state.answer[cell] !== (before?.answer ?? tokens)[cell]) : [],
    guessed, taken_back: isBackShown ? inOrder(back).filter((cell) => !guessed.includes(cell)) : [],
    guesses: state.guesses.map(named), back: isBackShown ? back.map(named) : [],
    node: tried === state.attempt + 1 ? number : `${number} of ${tried.toLocaleString("en")}`,
    halt: isInside ? null : state.halt_probability, verdict: verdictOf(about), stands: standingOf(about),
    ending: !state.is_last ? "" : about.solved ? "solved" : "failed",
    update: state.update && { ...state.update,
      heat: Array.from(state.update.heat, (value) => value / run.hottest) },
  };
}

const inOrder = (guesses) => guesses.map(({ cell }) => cell).sort((first, second) => first - second);
const brokenRules = (count) => (count === 1 ? "1 violation" : `${count} violations`);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// How the puzzle stands, plainly, and what is waited for; as display/screen.py.
function verdictOf(state) {
  const stands = state.solved ? run.praise : brokenRules(state.violations.length);
  const fired = state.halt_probability > 0.5;
  if (!state.confidence) return state.step ? "no answer yet" : "not begun";
  if (state.is_last) {
    const steps = counted(state.step, "step"), isSearch = isTree && state.tried > 1;
    const course = isSearch ? courseOf(state) : state.attempt ? `${steps} (attempt ${state.attempt + 1})` : steps;
    if (state.solved) return `${run.praise} in ${course}`;
    if (state.finding && state.finding !== "unknown") return `not ${run.praise} in ${course}: ${shipped.findings[state.finding]}`;
    return `not ${run.praise}: ${stands} after ${course}${fired ? ", the halt head fired" : ""}`;
  }
  if (state.inside) return stands;
  if (state.halted || state.step === state.max_steps) {
    return `${isTree ? "node" : "attempt"} ${(state.attempt + 1).toLocaleString("en")} ended: ${stands}`;
  }
  if (state.solved) return `${run.praise}, ${run.halt === "never" ? "going on" : "waiting for the halt head"}`;
  return fired ? `halt head fired, ${stands}, going on` : stands;
}

// In two or three words.
function standingOf(state) {
  if (state.solved) return run.praise;
  if (state.is_last) return `not ${run.praise}`;
  return state.confidence ? brokenRules(state.violations.length) : "no answer yet";
}

// What a search took: steps of all its nodes, the nodes, and the most guesses of one of them.
function courseOf(state) {
  const steps = nodes.reduce((sum, node) => sum + node.step, 0), depth = Math.max(...nodes.map((node) => node.depth));
  const found = `${counted(nodes.length, "node")}, ${depth} guess${depth === 1 ? "" : "es"} deep`;
  return state.solved ? `${counted(steps, "step")}: ${found}` : `${counted(steps, "step")} (${found})`;
}

// Keep a node of the tree as its latest step left it, and lay the tree out anew where it grew.
function noteNode(state, named) {
  const guess = state.guesses.length ? named(state.guesses[state.guesses.length - 1]) : "";
  const isNew = !nodes[state.attempt];
  nodes[state.attempt] = {
    ...nodes[state.attempt], guess, parent: state.parent, depth: state.guesses.length, step: state.step,
    violations: state.violations.length, solved: state.solved,
  };
  if (isNew) placeNodes();
  run.trees = [[nodes.length > 1 && isTree ? nodes : []]];
}

// Leaves side by side, every other node above the middle of its branches; as display/tree.py.
function placeNodes() {
  const branches = nodes.map(() => []), waiting = [];
  let leaves = 0;
  nodes.forEach(({ parent }, number) => (parent === null ? waiting : branches[parent]).push(number));
  waiting.reverse();
  const isReady = new Set();
  while (waiting.length) {
    const number = waiting.pop(), below = branches[number];
    if (!below.length) nodes[number].x = leaves++;
    else if (isReady.has(number)) nodes[number].x = (nodes[below[0]].x + nodes[below[below.length - 1]].x) / 2;
    else {
      isReady.add(number);
      waiting.push(number, ...[...below].reverse());
    }
  }
}

// ---- What a visitor does.

function say(words) {
  $("message").textContent = words;
  $("message").hidden = !words;
}

const picker = element("select"), shelf = [];  // puzzles to pick: those that come with the page, and pasted ones
picker.id = "pick";
picker.setAttribute("aria-label", "Puzzle");

function shelve(puzzles, name) {
  puzzles.forEach((one, index) => {
    const option = element("option", "", `${name} ${index + 1}`);
    option.value = String(shelf.push(one) - 1);
    picker.append(option);
  });
}

// Read puzzles in any spelling; the first is shown, all can be picked. False where a message says why not.
function take(text) {
  let puzzles;
  try {
    puzzles = readPuzzles(task, text);
    refuseBoard(puzzles[0].tokens.length);
  } catch (error) {
    if (!(error instanceof PuzzleError)) throw error;
    say(error.message);
    return false;
  }
  const first = shelf.length;
  shelve(puzzles, "pasted");
  picker.value = String(first);
  pose(puzzles[0]);
  return true;
}

// Change a cell of the puzzle itself; what was computed was about another one.
function change(edit) {
  const tokens = puzzle.tokens.slice();
  edit(tokens);
  if (tokens.every((token, cell) => token === puzzle.tokens[cell])) return;
  picker.value = "";
  pose({ ...puzzle, tokens });
}

const isMaze = !task.hasBlanks, [OPEN_CELL, WALL_CELL] = [2, 1], ENDS = { S: 3, G: 4 };

// Fill in the selected cell: a symbol or a blank; of a maze a wall, an open cell, the start or the goal.
function fillIn(key) {
  const letter = key.toUpperCase(), side = puzzle.width;
  if (isMaze) {
    if (letter in ENDS) return change((tokens) => moveEnd(tokens, ENDS[letter], selected));
    if (![" ", "Enter", "#", "."].includes(key)) return false;
    return change((tokens) => { tokens[selected] = painted(tokens[selected], key); });
  }
  if (["Backspace", "Delete", "0", "."].includes(key)) return change((tokens) => { tokens[selected] = BLANK_CELL; });
  const symbol = SYMBOLS_TYPED.indexOf(letter);
  if (key.length !== 1 || symbol < 0 || symbol >= side) return false;
  return change((tokens) => { tokens[selected] = symbol + 2; });
}

const MAZE_HINT = "Rows of # for a wall, a space or . for an open cell, one S and one G; or a CSV, or JSON.";
const SUDOKU_HINT = "A line of 81, 0 or . for a blank; nine lines, with borders or without; a CSV, or JSON.";
const BLANK_CELL = 1, SYMBOLS_TYPED = "123456789ABCDEFGHIJKLMNOP";

function painted(token, key) {
  if (Object.values(ENDS).includes(token)) return token;  // moved, not drawn over
  return key === "." || (key !== "#" && token === WALL_CELL) ? OPEN_CELL : WALL_CELL;
}

// The start or the goal goes to a cell, which the other one keeps.
function moveEnd(tokens, end, cell) {
  const from = tokens.indexOf(end);
  if (Object.values(ENDS).includes(tokens[cell])) return;
  if (from >= 0) tokens[from] = OPEN_CELL;
  tokens[cell] = end;
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function select(cell) {
  selected = cell;
  drawCells(true);
}

// What cells are to keys and screen readers; the board was drawn anew.
function drawCells(focuses) {
  const drawn = $("boards").querySelector(".board"), [frame] = moments[at].frames;
  selected = Math.min(selected, drawn.children.length - 1);
  $("boards").parentElement.classList.toggle("posed", at === 0);
  drawn.setAttribute("role", "group");
  drawn.setAttribute("aria-label", `${run.task} of ${puzzle.height} by ${puzzle.width}, ${stepOf(frame)}: ${frame.verdict}`);
  [...drawn.children].forEach((cell, place) => {
    const row = Math.floor(place / puzzle.width) + 1, column = (place % puzzle.width) + 1;
    const role = run.roles[frame.roles[place]].name, states = [frame.glyphs[place] || "", role];
    if (frame.violations.includes(place)) states.push("violation");
    if (frame.guessed.includes(place)) states.push("guess");
    cell.setAttribute("role", "button");
    cell.setAttribute("aria-label", `row ${row}, column ${column}: ${states.filter(Boolean).join(", ")}`);
    if (frame.confidence && !isMaze && role !== "given") cell.title = `confidence ${frame.confidence[place]}%`;
    cell.tabIndex = place === selected ? 0 : -1;
    cell.classList.toggle("selected", place === selected);
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

// A press selects a cell; in a maze it draws walls, opens cells, or takes the start or the goal along.
let stroke = null;
$("boards").addEventListener("pointerdown", (event) => {
  const cell = cellAt(event);
  if (cell < 0 || event.button) return;
  event.preventDefault();
  select(cell);
  if (!isMaze) return;
  const token = puzzle.tokens[cell], isEnd = Object.values(ENDS).includes(token);
  stroke = isEnd ? { end: token } : { token: painted(token, " ") };
  draw(cell);
});
document.addEventListener("pointermove", (event) => {
  const cell = stroke ? cellAt(event) : -1;
  if (cell >= 0 && cell !== selected) {
    select(cell);
    draw(cell);
  }
});
document.addEventListener("pointerup", () => { stroke = null; });
document.addEventListener("pointercancel", () => { stroke = null; });

function draw(cell) {
  change((tokens) => {
    if (stroke.end) moveEnd(tokens, stroke.end, cell);
    else if (!Object.values(ENDS).includes(tokens[cell])) tokens[cell] = stroke.token;
  });
}

document.addEventListener("paste", (event) => {
  if (event.target.closest?.("textarea")) return;
  event.preventDefault();
  take(event.clipboardData.getData("text/plain"));
});

function button(id, text, title, press) {
  const made = element("button", "", text);
  made.id = id;
  made.type = "button";
  made.title = title;
  made.addEventListener("click", press);
  return made;
}

function dialogOf(id, heading) {
  const dialog = element("dialog"), title = element("h2", "", heading);
  dialog.id = id;
  title.id = `${id}-title`;
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(title);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  return dialog;
}

function buildTools() {
  const tools = element("div", "tools"), message = element("p", "message"), side = element("div", "side");
  picker.addEventListener("change", () => pose(shelf[Number(picker.value)]));
  const own = element("option", "", "your own");
  own.value = "";
  own.hidden = true;
  picker.append(own);
  const inner = element("input"), label = element("label", "", "inside a step");
  inner.type = "checkbox";
  inner.checked = run.inner;
  inner.id = "inner";
  label.title = "Show how z and y change with every call of the net";
  label.prepend(inner);
  inner.addEventListener("change", () => { run.inner = inner.checked; pose(puzzle); });
  tools.append(
    picker,
    button("write", "Type or paste", `Give a ${run.task} as text`, () => $("text").showModal()),
    button("clear", isMaze ? "No walls" : "Empty", "Start from an empty board", () => change((tokens) => {
      tokens.forEach((token, cell) => { if (!Object.values(ENDS).includes(token) || !isMaze) tokens[cell] = isMaze ? OPEN_CELL : BLANK_CELL; });
    })),
    label);
  message.id = "message";
  message.hidden = true;
  message.setAttribute("role", "alert");
  $("stage").before(tools, message);
  side.append($("boards"), padOf());
  $("stage").append(side);
  $("what").before(button("card", "Card", "What this network is, how it was trained, how good it is",
    () => $("card-text").showModal()));
}

// Symbols to press, where there is no keyboard.
function padOf() {
  const pad = element("div", "pad");
  if (isMaze) {
    pad.append(element("span", "", "Draw walls with the mouse or a finger; drag S and G."));
    return pad;
  }
  for (const symbol of [...SYMBOLS_TYPED.slice(0, shipped.side), "0"]) {
    const key = button("", symbol === "0" ? "\u232b" : symbol, "", () => { fillIn(symbol); drawCells(false); });
    key.setAttribute("aria-label", symbol === "0" ? "empty the cell" : `fill in ${symbol}`);
    pad.append(key);
  }
  return pad;
}

function buildDialogs() {
  const text = dialogOf("text", "Type or paste"), area = element("textarea"), hint = element("p", "hint", isMaze ? MAZE_HINT : SUDOKU_HINT);
  area.rows = 10;
  area.spellcheck = false;
  area.setAttribute("aria-label", `A ${run.task} as text`);
  text.append(hint, area, button("take", "Use it", "", () => {
    text.close();
    take(area.value);
  }), button("drop", "Cancel", "", () => text.close()));
  const card = dialogOf("card-text", run.model), words = element("div", "card");
  words.innerHTML = shipped.card;  // made of text that was escaped
  const close = button("shut", "Close", "", () => card.close());
  close.className = "close";
  card.prepend(close);
  card.append(words);
}

const KEYS_OF_BOARD = isMaze
  ? "On the board: draw walls, drag S and G; or arrows move, space builds or opens, S and G place, Escape leaves it."
  : "On the board: click a cell and type; arrows move, Backspace empties, Escape leaves it.";
$("colours").after(element("p", "", `${KEYS_OF_BOARD} A puzzle can be pasted anywhere.`));
SPEEDS.push(Infinity);
$("forth").textContent = "Step";
$("forth").removeAttribute("aria-label");
buildTools();
buildDialogs();
shelve(shipped.examples.flatMap((text) => readPuzzles(task, text)), "example");
pose(shelf[0]);
picker.value = "0";
start(shipped.title);
