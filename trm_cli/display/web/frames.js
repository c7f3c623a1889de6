// Frames as the player draws them, in the words of the terminal, from what the worker tells of each step: as
// display/page.py, screen.py and tree.py.

const GUESS_SHOWN = 2;  // steps of a node in which the guesses that it takes back are shown
let last = null;  // the latest finished step
let nodes = [];  // of the tree: the latest of each attempt

// The puzzle before the first step; what was told of another one is forgotten.
function questionFrame() {
  last = null;
  nodes = [];
  const nothing = { confidence: null, halt_probability: null, change_y: null, change_z: null, seconds: 0, guesses: [] };
  return frameOf({ ...nothing, step: 0, max_steps: shipped.settings.max_steps, attempt: 0, answer: puzzle.tokens });
}

// A frame of what the worker tells of a step, or of a call of the net in it.
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

// How the puzzle stands, plainly, and what is waited for.
function verdictOf(state) {
  const stands = state.solved ? run.praise : brokenRules(state.violations.length);
  const fired = state.halt_probability > 0.5;
  if (!state.confidence) return state.step ? "no answer yet" : "not begun";
  if (state.is_last) {
    const steps = counted(state.step, "step"), isSearch = isTree && state.tried > 1;
    const course = isSearch ? courseOf(state) : state.attempt ? `${steps} (attempt ${state.attempt + 1})` : steps;
    if (state.solved) return `${run.praise} in ${course}`;
    const why = state.finding === "unknown" ? null : shipped.findings[state.finding];
    if (why) return `not ${run.praise} in ${course}: ${why}`;
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

// Leaves side by side, every other node above the middle of its branches.
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
