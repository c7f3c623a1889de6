// Search: the attempts at one puzzle, what is tried next, and which attempt gives the answer; as solving/search.py.
//
// A puzzle whose attempt 0 ends without an answer that is taken is tried again, each time otherwise: in another
// symmetric view, or with blanks filled by guesses, which are what the network itself believed.
// L cells, V tokens.

const NEGLIGIBLE = 0.05;  // share of a cell that is not worth another guess
const TINY = 1e-9;  // keeps the logarithm of a share finite
const LEAST_BELIEF = 1e-4;  // in a legal symbol, so that the network's no is never final

const entropyOf = (shares) => -shares.reduce((sum, share) => sum + share * Math.log(share + TINY), 0);

// Up to `count` guesses for the blanks of a puzzle, best first: the most divided cell, its likeliest symbol.
function rankGuesses(puzzle, beliefs, V, count) {
  const guesses = [], cells = blanksOf(puzzle).map((cell) => {
    const shares = [...beliefs.subarray(cell * V + FIRST_SYMBOL, (cell + 1) * V)];
    return { cell, shares, entropy: entropyOf(shares) };
  });
  for (const { cell, shares } of cells.sort((first, second) => second.entropy - first.entropy)) {
    let left = 1;
    const order = shares.map((_, symbol) => symbol).sort((first, second) => shares[second] - shares[first]);
    for (const symbol of order) {
      if (left < NEGLIGIBLE || guesses.length === count) break;
      guesses.push({ cell, token: symbol + FIRST_SYMBOL });
      left -= shares[symbol];
    }
  }
  return guesses;
}

// A guess for every legal symbol of the blank on which the beliefs are most divided, each with its cost: the
// negative logarithm of the belief in it. None where a blank is left nothing: a dead end.
function branch(shown, beliefs, legal, V) {
  let chosen = null;
  for (const cell of blanksOf(shown)) {
    const tokens = Array.from({ length: V - FIRST_SYMBOL }, (_, symbol) => symbol + FIRST_SYMBOL)
      .filter((token) => legal[cell * V + token]);
    if (!tokens.length) return [];
    const bounded = tokens.map((token) => Math.max(beliefs[cell * V + token], LEAST_BELIEF));
    const sum = bounded.reduce((total, share) => total + share, 0), shares = bounded.map((share) => share / sum);
    const entropy = entropyOf(shares);
    if (!chosen || entropy > chosen.entropy) chosen = { cell, tokens, shares, entropy };
  }
  if (!chosen) return [];
  return chosen.tokens.map((token, i) => ({ cost: -Math.log(chosen.shares[i]), guess: { cell: chosen.cell, token } }));
}

const blanksOf = (tokens) => [...tokens.keys()].filter((cell) => tokens[cell] === BLANK);

function withGuesses(puzzle, guesses) {
  const filled = puzzle.slice();
  for (const { cell, token } of guesses) filled[cell] = token;
  return filled;
}

// Supervision steps that an attempt may take.
function stepsOf(settings, attempt) {
  const further = settings.retry_steps || settings.max_steps, steps = attempt ? further : settings.max_steps;
  if (!settings.step_limit) return steps;
  const before = attempt ? settings.max_steps + (attempt - 1) * further : 0;
  return Math.max(0, Math.min(steps, settings.step_limit - before));
}

// Symmetric views of boards of a size: `cells` and `symbols` say where each cell and token of view k comes from.
// A network that takes smaller boards gives its views of 2x2 cells, of which those of every size follow.
class Views {
  constructor(views, height) {
    this.symbols = views.symbols;
    this.cells = views.cells.map((cells) => (cells.length === 4 && height !== 2 ? enlarged(cells, height) : cells));
    this.count = Math.max(1, this.cells.length);  // of one alone nothing is said
  }

  show(puzzle, view) {
    if (this.count === 1) return puzzle;
    return puzzle.map((_, cell) => this.symbols[view][puzzle[this.cells[view][cell]]]);
  }

  // What was read off the cells of a view, `each` numbers a cell, at the cells as they are.
  place(values, view, each = 1) {
    if (this.count === 1) return values;
    const placed = values.slice();
    this.cells[view].forEach((cell, place) =>
      placed.set(values.subarray(place * each, (place + 1) * each), cell * each));
    return placed;
  }

  // An answer that was given in a view.
  undo(answer, view) {
    if (this.count === 1) return answer;
    const back = [];
    this.symbols[view].forEach((token, original) => { back[token] = original; });
    return this.place(answer.map((token) => back[token]), view);
  }

  undoBeliefs(beliefs, view, V) {
    if (this.count === 1) return beliefs;
    return this.place(beliefs, view, V).map((_, index, placed) =>
      placed[index - (index % V) + this.symbols[view][index % V]]);
  }
}

function enlarged(corners, side) {
  const [first, right, below] = corners.map((cell) => [Math.floor(cell / 2), cell % 2]);
  return Array.from({ length: side * side }, (_, cell) => {
    const row = Math.floor(cell / side), column = cell % side;
    const [y, x] = [0, 1].map((axis) => first[axis] * (side - 1) + column * (right[axis] - first[axis]) +
      row * (below[axis] - first[axis]));
    return y * side + x;
  });
}

// The attempts at one puzzle; `task` knows its rules.
class Search {
  constructor(task, puzzle, V, settings, views) {
    Object.assign(this, { task, puzzle, V, settings, views, attempts: [], nodes: [], found: 0, needed: 1 });
    this.finding = null;
  }

  // The next attempt, or null where that was all.
  next() {
    const number = this.attempts.length;
    if (number >= this.needed) return null;
    const node = this.nodes.length ? this.nextNode(number) : null, guesses = node ? node.guesses : [];
    const view = number % this.views.count, shown = this.views.show(withGuesses(this.puzzle, guesses), view);
    const parent = node ? node.parent : null, cost = node ? node.cost : 0;
    const attempt = { number, guesses, parent, cost, view, shown, steps: 0, maxSteps: stepsOf(this.settings, number) };
    this.attempts.push(attempt);
    return attempt;
  }

  // In a tree the cheapest node, which leaves it; else one after the other.
  nextNode(number) {
    if (!this.settings.searches_tree) return this.nodes[(number - 1) % this.nodes.length];
    let best = 0;
    this.nodes.forEach(({ cost, place }, i) => {
      const least = this.nodes[best];
      if (cost < least.cost || (cost === least.cost && place < least.place)) best = i;
    });
    return this.nodes.splice(best, 1)[0];
  }

  // Note that an attempt ended. `beliefs` [L, V] are the shares at its last step, in its view.
  end(attempt, beliefs) {
    if (attempt.solved && this.settings.select === "verified") {
      this.needed = this.attempts.length;
      return;
    }
    if (attempt.number === 0) this.begin(attempt);
    const wanted = this.settings.searches_tree || (this.settings.guesses && attempt.number === 0);
    if (wanted && this.needed > this.attempts.length) {
      this.noteNodes(attempt, this.views.undoBeliefs(beliefs, attempt.view, this.V));
    }
  }

  // Say how many attempts there are to be, now that the first has not settled it.
  begin(first) {
    this.needed = this.settings.num_attempts;
    if (first.solved || !this.settings.checks) return;
    this.finding = this.task.examine(this.puzzle, EXAMINE_SECONDS);
    if (["no_solution", "several_solutions"].includes(this.finding)) this.needed = 1;
  }

  noteNodes(attempt, beliefs) {
    if (this.settings.searches_tree) {
      const shown = withGuesses(this.puzzle, attempt.guesses), legal = this.task.legalTokens(shown, this.V);
      for (const { cost, guess } of branch(shown, beliefs, legal, this.V)) {
        const node = { cost: attempt.cost + cost, place: this.found++, parent: attempt.number };
        this.nodes.push({ ...node, guesses: [...attempt.guesses, guess] });
      }
      if (!this.nodes.length) this.needed = this.attempts.length;
      return;
    }
    const ranked = rankGuesses(this.puzzle, beliefs, this.V, this.needed - 1);
    this.nodes = ranked.map((guess) => ({ cost: 0, guesses: [guess], parent: attempt.number }));
    if (this.settings.varies_guesses_alone) this.needed = Math.min(this.needed, 1 + ranked.length);
  }

  // The attempt whose answer is taken.
  choose() {
    const { attempts, settings: { select } } = this, text = ({ answer }) => answer.join();
    const solved = attempts.find((attempt) => attempt.solved);
    if (select === "verified" && solved) return solved;
    const votes = (attempt) => attempts.filter((other) => text(other) === text(attempt)).length;
    const worth = select === "mode" ? votes : ({ score }) => score;
    return attempts.reduce((best, attempt) => (worth(attempt) > worth(best) ? attempt : best));
  }
}
