// Mazes: their spellings and rules, in the words of trm_cli/tasks/maze.py.

const maze = (() => {
  const [WALL, OPEN, START, GOAL, PATH] = [1, 2, 3, 4, 5]; // tokens, as in the official code
  const TOKENS = new Map([["#", WALL], ["█", WALL], [" ", OPEN], [".", OPEN], ["S", START], ["G", GOAL]]);
  const ANSWER_LETTERS = new Set([...TOKENS.keys(), "o"]);
  const LETTERS = "?# SGo"; // of each token
  const SPELLING = new Spelling({
    noun: "maze",
    sides: [3, 64],
    meant: "write # for a wall, a space or . for an open cell, S and G",
    isWhole: (line) => line.includes("S") && line.includes("G"),
    remedies: new Map([
      ["\t", "a tab; write spaces, one for each open cell"],
      ["o", "'o' marks the path of an answer; write a space in a puzzle"],
    ]),
  });
  const NAMES = ["empty", "wall", "open", "start", "goal", "path"];
  const GLYPHS = ["?", "", "", "S", "G", ""];
  const UNREACHED = -1;

  // The cells beside a cell of a square board.
  function beside(cell, side) {
    const near = cell >= side ? [cell - side] : [];
    if (cell < side * (side - 1)) near.push(cell + side);
    if (cell % side) near.push(cell - 1);
    if (cell % side < side - 1) near.push(cell + 1);
    return near;
  }

  // Moves of a shortest way from S to G through some cells of a maze; -1 without one.
  function movesThrough(tokens, isOpened) {
    const side = Math.sqrt(tokens.length);
    const distances = new Int32Array(tokens.length).fill(UNREACHED);
    const wave = [tokens.indexOf(START)];
    distances[wave[0]] = 0;
    for (const cell of wave) { // which grows
      for (const near of beside(cell, side)) {
        if (distances[near] !== UNREACHED || !isOpened(tokens[near])) continue;
        distances[near] = distances[cell] + 1;
        wave.push(near);
      }
    }
    return distances[tokens.indexOf(GOAL)];
  }

  function shortest(puzzle) {
    return movesThrough(puzzle, (token) => token !== WALL);
  }

  // Whether a cell is neither as the puzzle has it nor an open one that the path takes.
  function isChanged(was, is) {
    return was !== is && (was !== OPEN || is !== PATH);
  }

  // Cells of the path that have more or fewer of its cells beside them than they must, and how many each has.
  function misjoined(answer) {
    const side = Math.sqrt(answer.length);
    const found = Array.from(answer, (_, cell) => [
      cell,
      beside(cell, side).filter((near) => answer[near] >= START).length,
    ]);
    return found.filter(([cell, near]) => answer[cell] >= START && near !== (answer[cell] === PATH ? 2 : 1));
  }

  // The cells of a path without branches, from S to G.
  function walk(answer) {
    const side = Math.sqrt(answer.length);
    const way = [answer.indexOf(START)];
    while (answer[way.at(-1)] !== GOAL) {
      way.push(beside(way.at(-1), side).find((near) => answer[near] >= START && near !== way.at(-2)));
    }
    return way;
  }

  // A maze as tokens, which must have one S, one G and a way between them.
  function puzzleOf(rows) {
    const tokens = SPELLING.tokens(rows, TOKENS);
    const side = rows.rows.length;
    for (const token of [START, GOAL]) {
      const letter = LETTERS[token];
      const [first, second] = [...tokens.keys()].filter((cell) => tokens[cell] === token);
      const place = (cell) => rows.place(Math.floor(cell / side), cell % side);
      if (first === undefined) throw new PuzzleError(`${rows.place(0, 0)}: no ${letter} in the maze; write one`);
      if (second !== undefined) {
        const earlier = place(first).slice(rows.source.length + 1);
        throw new PuzzleError(`${place(second)}: a second ${letter}, the first is at ${earlier}; keep one`);
      }
    }
    if (shortest(tokens) === UNREACHED) {
      throw new PuzzleError(`${rows.place(0, 0)}: no way leads from S to G; open a wall`);
    }
    return { tokens, height: side, width: side, line: rows.places[0][0] };
  }

  const isEnd = (token) => token === START || token === GOAL;

  // The start or the goal goes to a cell, unless the other one is there.
  function moveEnd(tokens, end, cell) {
    if (isEnd(tokens[cell])) return;
    if (tokens.includes(end)) tokens[tokens.indexOf(end)] = OPEN;
    tokens[cell] = end;
  }

  return {
    name: "maze",
    hasBlanks: false,

    // The puzzles of a text, one by one.
    *read(text, source) {
      for (const rows of SPELLING.read(text, source)) yield puzzleOf(rows);
    },

    // Whether a text, or the beginning of one, looks like a puzzle of this kind, be it right or wrong.
    recognises(text) {
      const isKnown = (letter) => ANSWER_LETTERS.has(letter) || letter === "\n" || letter === "\r";
      return text.includes("S") && text.includes("G") && [...text].every(isKnown);
    },

    readOne(text, line, source) {
      return puzzleOf(SPELLING.split(text, line, source));
    },

    write(tokens) {
      return Array.from(tokens, (token) => LETTERS[token]).join("");
    },

    // What each cell of an answer shows; S and G stay where the question has them.
    cells(puzzle, answer) {
      const seen = Array.from(puzzle, (token, cell) => (token === START || token === GOAL ? token : answer[cell]));
      return seen.map((token) => ({ glyph: GLYPHS[token] ?? "", role: NAMES[token] ?? "empty" }));
    },

    violations(puzzle, answer) {
      const rules = new Map();
      for (const [cell, near] of misjoined(answer)) {
        if (answer[cell] !== PATH) rules.set(cell, `${near ? "two paths" : "no path"} at the ${NAMES[answer[cell]]}`);
        else rules.set(cell, near > 2 ? "the path branches" : "the path breaks off");
      }
      for (const [cell, token] of puzzle.entries()) {
        const was = token === OPEN ? "open cell" : NAMES[token];
        if (isChanged(token, answer[cell])) rules.set(cell, `the ${was} was changed`);
      }
      if (!rules.size) {
        const path = [...answer.keys()].filter((cell) => answer[cell] >= START);
        const way = walk(answer);
        const [taken, least] = [way.length - 1, shortest(puzzle)];
        if (way.length < path.length) {
          for (const cell of path) if (!way.includes(cell)) rules.set(cell, "a ring beside the path");
        } else if (taken > least) rules.set(way[0], `the path takes ${taken} moves, the shortest ${least}`);
      }
      return Array.from(rules, ([cell, rule]) => ({ cell, rule })).sort((one, other) => one.cell - other.cell);
    },

    // Whether the marked cells are a path from S to G that is as short as any.
    rulesHold(puzzle, answer) {
      return this.violations(puzzle, answer).length === 0;
    },

    // Every token may stand everywhere.
    legalTokens(puzzle, vocabSize) {
      return new Uint8Array(puzzle.length * vocabSize).fill(1);
    },

    // How many tokens there are on a board, padding included.
    vocabSize() {
      return PATH + 1;
    },

    // No maze without a way is read.
    examine() {
      return "some_solution";
    },

    // What a visitor can do to a board, and the words for it.
    words: () => ({
      lead: "Draw walls with the mouse or a finger, drag S and G, or pick a maze.",
      hint: "Rows of # for a wall, a space or . for an open cell, one S and one G; or a CSV, or JSON.",
      keys: "On the board: arrows move, space builds or opens, S and G place, Escape leaves it.",
      clear: "No walls",
    }),

    symbols: () => [],

    clear(tokens) {
      for (const [cell, token] of tokens.entries()) if (!isEnd(token)) tokens[cell] = OPEN;
    },

    // Make a wall, an open cell, the start or the goal of a cell as a key says; false for a key that says nothing.
    fillIn(tokens, cell, key) {
      const end = { S: START, G: GOAL }[key.toUpperCase()];
      const opens = key === "." || (key !== "#" && tokens[cell] === WALL);
      if (!end && ![" ", "Enter", "#", "."].includes(key)) return false;
      if (end) moveEnd(tokens, end, cell);
      else if (!isEnd(tokens[cell])) tokens[cell] = opens ? OPEN : WALL;
      return true;
    },

    // What a press on a cell begins: cells that are passed become walls or open, or an end is taken along over them.
    stroke(before, cell) {
      const token = before[cell], drawn = token === WALL ? OPEN : WALL;
      if (!isEnd(token)) {
        return (tokens, cells) => { for (const one of cells) if (!isEnd(tokens[one])) tokens[one] = drawn; };
      }
      return (tokens, cells) => {
        tokens.set(before);  // what it passes stays
        moveEnd(tokens, token, cells[cells.length - 1]);
      };
    },

    // Height and width of a board, which is one box.
    shape(numCells) {
      const side = Math.floor(Math.sqrt(numCells));
      if (side * side !== numCells) throw new PuzzleError(`a board of maze is square; ${numCells} cells are not`);
      return [side, side, side, side];
    },
  };
})();
