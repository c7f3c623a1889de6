// Sudoku: its spellings and rules, in the words of trm_cli/tasks/sudoku.py, and the search of sudoku_generator.py.

const sudoku = (() => {
  const [BLANK, FIRST_SYMBOL] = [1, 2];
  const BOXES = new Map([[4, [2, 2]], [6, [2, 3]], [9, [3, 3]], [12, [3, 4]], [16, [4, 4]]]); // side: of a box
  const SIDE_OF = new Map(Array.from(BOXES.keys(), (side) => [side * side, side])); // number of cells: side
  const LARGEST = Math.max(...BOXES.keys());
  const SYMBOLS = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const DIGITS = 9; // symbols that are digits, and the side of the largest grid that has no others
  const TOKENS = new Map([
    ...Array.from("0._*", (letter) => [letter, BLANK]),
    ...Array.from("123456789", (digit) => [digit, BLANK + Number(digit)]),
  ]);
  const NUMBERS = new Map(Array.from(SYMBOLS.slice(DIGITS, LARGEST), (symbol, i) => [`${DIGITS + 1 + i}`, symbol]));
  const LETTERS = new Map(
    [...NUMBERS.values()].flatMap((symbol) =>
      [symbol, symbol.toLowerCase()].map((letter) => [letter, FIRST_SYMBOL + SYMBOLS.indexOf(symbol)]),
    ),
  );
  const ZERO = 255; // token of a 0 in a large grid, until all of it is read
  const LARGE_TOKENS = new Map([...TOKENS, ...LETTERS, ["0", ZERO]]);
  const LINES = "|│┃║";
  const IGNORED = new Set(` \t\r\n${LINES}`); // between cells
  const APART = new RegExp(`[${SPACES}]+`);
  const NUMBERS_APART = new RegExp(`(?:^|[${SPACES}${LINES}])1[0-6](?:$|[${SPACES}${LINES}])`);
  const ROWS_AHEAD = 40; // lines that hold the rest of a grid of 16x16, with borders
  const BORDER = new Set(`-+=: \t${LINES}─━═┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝┏┳┓┣╋┫┗┻┛╟╢╫╤╧╪`);
  const CORNERS = new Set("*.'"); // also found in borders, but only in those with a run of dashes
  const SEPARATORS = [",", ";", "\t"]; // between the cells of a row
  const QUOTES = new Set("\"'"); // around a cell
  const SPELLED = new Set([...LARGE_TOKENS.keys(), ...IGNORED, ...BORDER, ...CORNERS, ...SEPARATORS, ...QUOTES]);
  // In a cell of a grid of up to 25x25; and one of a grid larger than 9x9.
  const SYMBOL = new RegExp(
    `^[${SPACES}]*["']?(?:[1-9A-Pa-p]|1\\p{Nd}|2[0-5]|[0._*]?)["']?[${SPACES}]*$`,
    "u",
  );
  const LARGE = /[A-Pa-p]|\p{Nd}{2}/u;
  const LONGEST_ROW = 1 << 16; // letters of a line that are looked at
  const TOO_LARGE = [25, 25 * 25]; // cells of a line: a row, or a whole grid
  const SIZES = `the grids known are ${Array.from(BOXES.keys(), (side) => `${side}x${side}`).join(", ")}`;
  const SECTION = /^\[([A-Za-z ]+)\]$/; // of an .sdk file

  // A grid as far as it is read: its cells as tokens, and the line and column of each, from 1.
  class Grid {
    constructor(source) {
      Object.assign(this, { source, side: 0, cells: [], places: [] });
    }

    place(cell) {
      return `${this.source}:${this.places.at(cell).join(":")}`;
    }

    // Add the cells of a line, or of a field of it with `before` letters before it; gives how many.
    addLine(text, number, before = 0) {
      const letters = [...text];
      if (letters.length > LONGEST_ROW) {
        throw new PuzzleError(
          `${this.source}:${number}: ${withCommas(letters.length)} characters are no grid; ` +
            "write 81 digits a line, 0 or . for a blank",
        );
      }
      const count = this.cells.length;
      const side = this.side || sideOfLine(text);
      const tokens = side > DIGITS ? LARGE_TOKENS : TOKENS;
      for (const [index, letter] of letters.entries()) {
        const column = before + 1 + index;
        if (tokens.has(letter)) {
          this.cells.push(tokens.get(letter));
          this.places.push([number, column]);
        } else if (!IGNORED.has(letter)) {
          const what = `${printable(letter)} is no ${side > DIGITS ? "symbol" : "digit"}`;
          throw new PuzzleError(`${this.source}:${number}:${column}: ${what}; ${howToWrite(Math.max(side, DIGITS))}`);
        }
      }
      return this.cells.length - count;
    }

    // Add a line, which must be a row as long as the first, or a whole grid.
    addRow(text, number) {
      const row = this.side ? Math.floor(this.cells.length / this.side) : 0;
      const count = this.addLine(text, number);
      if (!row && count !== this.side) {
        if (!BOXES.has(count) && !SIDE_OF.has(count)) {
          throw new PuzzleError(`${this.place(-1)}: ${noGrid(count, "81 cells on a line (or 9 for a row)")}`);
        }
        this.side = SIDE_OF.get(count) ?? count;
      } else if (count !== this.side) {
        throw new PuzzleError(
          `${this.place(-1)}: expected ${this.side} cells, got ${count}; row ${row + 1} of the grid ` +
            `that starts at line ${this.places[0][0]} must be as long as the first`,
        );
      }
    }

    // Refuses that the grid ends here, but not after a multiple of so many rows.
    refuseGap(rows) {
      if (this.side && this.cells.length % (rows * this.side)) {
        throw new PuzzleError(
          `${this.source}:${this.places.at(-1)[0]}: the grid that starts at line ${this.places[0][0]} has ` +
            `${Math.floor(this.cells.length / this.side)} rows of ${this.side}; add the missing ones`,
        );
      }
    }

    // The whole grid; refuses a digit above its side and a repeated one.
    puzzle() {
      const side = SIDE_OF.get(this.cells.length);
      const last = side + BLANK;
      const zeros = this.cells.filter((token) => token === ZERO).length;
      const hasBlanks = this.cells.includes(BLANK) || zeros === side;
      const zero = hasBlanks && !this.cells.includes(last) ? last : BLANK;
      const tokens = Uint8Array.from(this.cells, (token) => (token === ZERO ? zero : token));
      const highest = tokens.indexOf(Math.max(...tokens));
      if (tokens[highest] > last) {
        const symbol = symbolOf(tokens[highest]);
        throw new PuzzleError(`${this.place(highest)}: ${symbol} in a ${side}x${side} grid; ${howToWrite(side)}`);
      }
      for (const [first, second, unit] of repeats(tokens, side)) {
        throw new PuzzleError(
          `${this.place(second)}: ${unit} has the given ${symbolOf(tokens[second])} twice, ` +
            `first at ${this.places[first].join(":")}; correct one of them`,
        );
      }
      return { tokens, height: side, width: side, line: this.places[0][0] };
    }
  }

  // A symbol as people write it: a digit, or a letter above 9.
  function symbolOf(token) {
    return SYMBOLS[token - FIRST_SYMBOL];
  }

  function howToWrite(side) {
    return `write 1 to ${side > DIGITS ? `9 and A to ${SYMBOLS[side - 1]}` : side}, and 0 or . for a blank`;
  }

  // What is wrong with so many cells: those of another square, or most likely a 9x9 with some left out.
  function noGrid(count, usual) {
    const side = Math.floor(Math.sqrt(count));
    if (count === side * side) return `${count} cells are a grid of ${side}x${side}; ${SIZES}`;
    return `expected ${usual}, got ${count}; write 0 or . for a blank`;
  }

  // Side of the grid all of whose cells, or one row, a line could be; 0 if of none.
  function sideOfLine(text) {
    const count = cellsOf(text).length;
    return SIDE_OF.get(count) ?? (BOXES.has(count) ? count : 0);
  }

  function cellsOf(text) {
    return Array.from(text).filter((letter) => !IGNORED.has(letter));
  }

  function words(text) {
    return text.split(APART).filter(Boolean);
  }

  function withoutComment(line) {
    return line.split("#", 1)[0];
  }

  // A row without what parts its cells, with a dot where nothing stands between two, numbers from 10 on as letters.
  function joined(text) {
    const separators = SEPARATORS.filter((separator) => text.includes(separator));
    for (const separator of NUMBERS_APART.test(text) ? [...separators, null] : separators) {
      const parts = separator ? text.split(separator) : words(text.replace(/[|│┃║]/g, " "));
      const fields = parts.map((field) => strip(field, " \"'\r\n"));
      const isKnown = (field) => field === "" || LARGE_TOKENS.has(field) || NUMBERS.has(field);
      if ((BOXES.has(fields.length) || SIDE_OF.has(fields.length)) && fields.every(isKnown)) {
        return fields.map((field) => (NUMBERS.get(field) ?? field) || ".").join("");
      }
    }
    return text;
  }

  // Refuses a grid that begins with a row of 25x25, or with all its rows on a line.
  function refuseTooLarge(text, place) {
    const separator = SEPARATORS.find((letter) => text.includes(letter));
    const parted = separator ? text.split(separator) : words(text);
    const symbols = TOO_LARGE.includes(parted.length) ? parted : cellsOf(text);
    const [side] = TOO_LARGE;
    if (!TOO_LARGE.includes(symbols.length) || !symbols.every((symbol) => SYMBOL.test(symbol))) return;
    if (symbols.length > side || symbols.some((symbol) => LARGE.test(symbol))) {
      throw new PuzzleError(`${place}: a Sudoku of ${side}x${side}; ${SIZES}`);
    }
  }

  // Whether a line of 16 cells is the first row of 16x16, not a whole 4x4: its letters say so, or what follows.
  function beginsLarge(row, following) {
    const texts = following.map((line) => strip(withoutComment(line))).filter((text) => text && !isBorder(text));
    const rows = [row, ...texts.slice(0, LARGEST - 1).map(joined)];
    const small = SIDE_OF.get(LARGEST);
    const isWhole = rows.length === LARGEST && rows.every((one) => sideOfLine(one) === small);
    const isBeyond = (letter) => letter !== "0" && LARGE_TOKENS.get(letter) >= small + FIRST_SYMBOL;
    return Array.from(row).some((letter) => LETTERS.has(letter)) || (isWhole && [...rows.join("")].some(isBeyond));
  }

  function isBorder(text) {
    const hasCorners = text.includes("--");
    return Array.from(text).every((letter) => BORDER.has(letter) || (hasCorners && CORNERS.has(letter)));
  }

  function once(find) {
    const known = new Map();
    return (side) => known.get(side) ?? known.set(side, find(side)).get(side);
  }

  // Cells of each row, then each column, then each box of a grid.
  const units = once((side) => {
    const [height, width] = BOXES.get(side);
    const indices = [...Array(side).keys()];
    const rows = indices.map((row) => indices.map((column) => row * side + column));
    const columns = indices.map((column) => indices.map((row) => row * side + column));
    const across = side / width;
    const boxes = indices.map((box) => {
      const [top, left] = [Math.floor(box / across) * height, (box % across) * width];
      return indices.map((cell) => (top + Math.floor(cell / width)) * side + left + (cell % width));
    });
    return [...rows, ...columns, ...boxes];
  });

  // The other cells in the units of each cell.
  const peers = once((side) =>
    Array.from({ length: side * side }, (_, cell) => {
      const others = new Set(units(side).filter((unit) => unit.includes(cell)).flat());
      others.delete(cell);
      return [...others];
    }),
  );

  // Pairs of cells of a grid that share a unit and a digit, with the unit's name: row 1, column 4, box 9.
  function* repeats(tokens, side) {
    for (const [index, unit] of units(side).entries()) {
      const name = `${["row", "column", "box"][Math.floor(index / side)]} ${(index % side) + 1}`;
      for (let i = 0; i < side; i += 1) {
        if (tokens[unit[i]] < FIRST_SYMBOL) continue;
        for (let j = i + 1; j < side; j += 1) {
          if (tokens[unit[i]] === tokens[unit[j]]) yield [unit[i], unit[j], name];
        }
      }
    }
  }

  // How many solutions a puzzle has, counted up to `most`; null where `seconds` do not suffice.
  function countSolutions(puzzle, most, seconds) {
    const side = SIDE_OF.get(puzzle.length);
    const end = performance.now() + 1000 * seconds;
    const candidates = new Int32Array(puzzle.length).fill((1 << side) - 1);
    for (const [cell, token] of puzzle.entries()) {
      const digit = 1 << (token - FIRST_SYMBOL);
      if (token > BLANK && !(candidates[cell] & digit && fix(candidates, cell, digit, side))) return 0;
    }
    let found = 0;
    for (const node of completions(candidates, side)) {
      if (performance.now() > end) return null;
      if (node === "solution") found += 1;
      if (found === most) break;
    }
    return found;
  }

  // Every node of a search through what the candidates of the cells allow: "node", then "solution" where it is one.
  function* completions(candidates, side) {
    yield "node";
    if (!settle(candidates, side)) return;
    let [fewest, cell] = [side + 1, -1];
    for (const [open, mask] of candidates.entries()) {
      if (mask & (mask - 1) && bitCount(mask) < fewest) [fewest, cell] = [bitCount(mask), open];
    }
    if (cell < 0) {
      yield "solution";
      return;
    }
    for (let left = candidates[cell]; left; left &= left - 1) {
      const branch = candidates.slice();
      if (fix(branch, cell, left & -left, side)) yield* completions(branch, side);
    }
  }

  function bitCount(mask) {
    let count = 0;
    for (let left = mask; left; left &= left - 1) count += 1;
    return count;
  }

  // Write, again and again, every digit that has one place left in a unit; whether no contradiction is met.
  function settle(candidates, side) {
    let isSettled = false;
    while (!isSettled) {
      isSettled = true;
      for (const unit of units(side)) {
        let [once, twice] = [0, 0]; // digits with a place in the unit, with two or more
        for (const cell of unit) {
          twice |= once & candidates[cell];
          once |= candidates[cell];
        }
        if (once !== (1 << side) - 1) return false;
        for (const cell of unit) {
          const digit = candidates[cell] & once & ~twice;
          if (!digit || digit === candidates[cell]) continue;
          if (digit & (digit - 1) || !fix(candidates, cell, digit, side)) return false;
          isSettled = false;
        }
      }
    }
    return true;
  }

  // Write a digit, and those that are then the last candidates of their cells; whether every cell keeps one.
  function fix(candidates, cell, digit, side) {
    candidates[cell] = digit;
    const fresh = [cell];
    while (fresh.length) {
      const fixed = fresh.pop();
      for (const peer of peers(side)[fixed]) {
        if (!(candidates[peer] & candidates[fixed])) continue;
        candidates[peer] ^= candidates[fixed];
        if (!candidates[peer]) return false;
        if (!(candidates[peer] & (candidates[peer] - 1))) fresh.push(peer);
      }
    }
    return true;
  }

  return {
    name: "sudoku",
    hasBlanks: true,

    // The puzzles of a text, one by one.
    *read(text, source) {
      let [grid, found, section, last] = [new Grid(source), false, "", 0];
      const lines = splitLines(text);
      for (const [index, line] of lines.entries()) {
        const number = index + 1;
        if (number - last > MOST_BLANKS) {
          throw new PuzzleError(
            `${source}:${number}: ${withCommas(MOST_BLANKS)} lines without a puzzle; leave them out`,
          );
        }
        const bare = stripEnd(withoutComment(line), "\r\n");
        const heading = SECTION.exec(strip(bare));
        section = heading ? heading[1].toLowerCase() : section;
        if (heading || section === "state") continue; // the state is a player's progress, not a puzzle
        if (!strip(bare)) {
          grid.refuseGap(grid.side ? BOXES.get(grid.side)[0] : 1); // a blank line may part two bands
          continue;
        }
        if (isBorder(bare)) continue;
        const row = joined(bare);
        if (!grid.side && [...row].length !== DIGITS ** 2) { // of most files, every line is a whole grid
          refuseTooLarge(bare, `${source}:${number}`);
          const isOpen = sideOfLine(row) === SIDE_OF.get(LARGEST); // whether it is a grid or a row
          if (isOpen && beginsLarge(row, lines.slice(number, number + ROWS_AHEAD))) grid.side = LARGEST;
        }
        const isHeader = QUESTION_COLUMNS.includes(strip(bare, ' "').toLowerCase()) || row.includes(",");
        if (!grid.side && isHeader) {
          const isRow = (name) => Array.from(name).every((letter) => LARGE_TOKENS.has(letter));
          const how = { noun: "puzzle", hasComments: true, isRow };
          for (const question of readColumn(line, lines.slice(number), number, source, how)) {
            const [one, place, before] = question;
            yield this.readOne(one, place, source, before);
          }
          return;
        }
        [found, last] = [true, number];
        grid.addRow(row, number);
        if (grid.cells.length === grid.side ** 2) {
          yield grid.puzzle();
          grid = new Grid(source);
        }
      }
      grid.refuseGap(grid.side);
      if (!found) throw new PuzzleError(`${source}:1: no puzzle in it; write 81 digits a line, 0 or . for blanks`);
    },

    // Whether a text, or the beginning of one, looks like a puzzle of this kind, be it right or wrong.
    recognises(text) {
      const lines = bareLines(text).map(withoutComment);
      const letters = [...lines.filter((line) => !SECTION.test(strip(line))).join("")];
      const cells = letters.filter((letter) => LARGE_TOKENS.has(letter));
      const hasDigits = cells.some((letter) => letter >= "0" && letter <= "9");
      const hasLetters = cells.some((letter) => LETTERS.has(letter));
      const isGrid = SIDE_OF.has(cells.length) || (cells.length > Math.min(...SIDE_OF.keys()) && hasDigits);
      return isGrid && letters.every((letter) => SPELLED.has(letter)) && (hasDigits || !hasLetters);
    },

    readOne(text, line, source, before = 0) {
      const grid = new Grid(source);
      const count = grid.addLine(text, line, before);
      if (!SIDE_OF.has(count)) {
        throw new PuzzleError(`${source}:${line}:${before + 1}: ${noGrid(count, "81 cells")}`);
      }
      return grid.puzzle();
    },

    write(tokens) {
      return Array.from(tokens, (token) => (token <= BLANK ? "." : symbolOf(token))).join("");
    },

    // What each cell of an answer shows, rule-breaking or not.
    cells(puzzle, answer) {
      return Array.from(answer, (token, cell) => ({
        glyph: token > BLANK ? symbolOf(token) : "",
        role: puzzle[cell] > BLANK ? "given" : token > BLANK ? "filled" : "empty",
      }));
    },

    violations(puzzle, answer) {
      const side = this.shape(answer.length)[0];
      const rules = new Map();
      const add = (cell, rule) => rules.has(cell) || rules.set(cell, rule);
      for (const [cell, token] of puzzle.entries()) {
        if (token !== BLANK && token !== answer[cell]) add(cell, `the given ${symbolOf(token)} was changed`);
      }
      for (const [cell, token] of answer.entries()) {
        if (token < FIRST_SYMBOL || token > side + BLANK) add(cell, "no digit");
      }
      for (const [first, second, unit] of repeats(answer, side)) {
        add(first, `${symbolOf(answer[first])} twice in ${unit}`);
        add(second, `${symbolOf(answer[second])} twice in ${unit}`);
      }
      return Array.from(rules, ([cell, rule]) => ({ cell, rule })).sort((one, other) => one.cell - other.cell);
    },

    rulesHold(puzzle, answer) {
      return this.violations(puzzle, answer).length === 0;
    },

    // A digit is legal in a cell if its row, column and box do not hold it: 1, else 0, for each cell and token.
    legalTokens(puzzle, vocabSize) {
      const legal = new Uint8Array(puzzle.length * vocabSize).fill(1);
      for (const unit of units(this.shape(puzzle.length)[0])) {
        for (const token of unit.map((cell) => puzzle[cell])) {
          if (token >= FIRST_SYMBOL) unit.forEach((cell) => (legal[cell * vocabSize + token] = 0));
        }
      }
      return legal;
    },

    // How many tokens there are on a board of so many cells, padding included.
    vocabSize(numCells) {
      return FIRST_SYMBOL + this.shape(numCells)[0];
    },

    // What counting the solutions of a puzzle finds in so many seconds.
    examine(puzzle, seconds) {
      const found = countSolutions(puzzle, 2, seconds);
      return found === null ? "unknown" : ["no_solution", "one_solution", "several_solutions"][found];
    },

    // What a visitor can do to a board, and the words for it; `sizes` are those of the network.
    words: (sizes) => ({
      lead: "Click a cell and type, paste a puzzle, or pick one.",
      hint: `A grid of ${sizes}, on a line or row by row, 0 or . for a blank; or a CSV, or JSON.`,
      keys: "On the board: arrows move, Backspace empties, Escape leaves it.",
      clear: "Empty board",
    }),

    symbols: (side) => [...SYMBOLS.slice(0, side)],

    clear(tokens) {
      tokens.fill(BLANK);
    },

    // Fill in a cell as a key says; false for a key that says nothing.
    fillIn(tokens, cell, key) {
      const symbol = key.length === 1 ? this.symbols(this.shape(tokens.length)[0]).indexOf(key.toUpperCase()) : -1;
      if (["Backspace", "Delete", "0", "."].includes(key)) tokens[cell] = BLANK;
      else if (symbol >= 0) tokens[cell] = FIRST_SYMBOL + symbol;
      else return false;
      return true;
    },

    // Height and width of a grid, then of one of its boxes.
    shape(numCells) {
      const side = SIDE_OF.get(numCells);
      if (!side) throw new PuzzleError(`a Sudoku has ${[...SIDE_OF.keys()].join(", ")} cells, not ${numCells}`);
      return [side, side, ...BOXES.get(side)];
    },
  };
})();
