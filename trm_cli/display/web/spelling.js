// Texts, CSV columns and boards of letters: what trm_cli/tasks/tables.py reads, in its words. Letters are code points.

class PuzzleError extends Error {}

class CsvError extends Error {}

const QUESTION_COLUMNS = ["question", "puzzle", "quizzes"]; // of a CSV, the first that it has
const ANSWER_COLUMNS = ["answer", "solution", "solutions"];
const MOST_BLANKS = 1 << 16; // lines in a row
const LONGEST_FIELD = 1 << 17; // letters of a field of a CSV
// What Python's strip and split take for space; browsers know a few others.
const SPACES =
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const LINE_ENDS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029";
const LINES_OF_TEXT = new RegExp(`[^${LINE_ENDS}]*(?:\r\n|[${LINE_ENDS}])|.+$`, "gs");
const UNPRINTABLE = /^(?! )[\p{C}\p{Z}]$/u;
const ESCAPES = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };

// The lines of a text with their ends, as Python's splitlines parts them.
function splitLines(text) {
  return text.match(LINES_OF_TEXT) ?? [];
}

// The same without their ends.
function bareLines(text) {
  return splitLines(text).map((line) => stripEnd(line, LINE_ENDS));
}

function stripStart(text, letters = SPACES) {
  let start = 0;
  while (start < text.length && letters.includes(text[start])) start += 1;
  return text.slice(start);
}

function stripEnd(text, letters = SPACES) {
  let end = text.length;
  while (end > 0 && letters.includes(text[end - 1])) end -= 1;
  return text.slice(0, end);
}

function strip(text, letters = SPACES) {
  return stripStart(stripEnd(text, letters), letters);
}

// A number as messages show it: 65,536.
function withCommas(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// A text in quotes, as Python's repr shows it.
function quoted(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const shown = Array.from(text, (letter) => {
    const hex = letter.codePointAt(0).toString(16);
    if (letter === quote) return `\\${letter}`;
    if (ESCAPES[letter] || !UNPRINTABLE.test(letter)) return ESCAPES[letter] ?? letter;
    if (hex.length > 4) return `\\U${hex.padStart(8, "0")}`;
    return hex.length > 2 ? `\\u${hex.padStart(4, "0")}` : `\\x${hex.padStart(2, "0")}`;
  });
  return `${quote}${shown.join("")}${quote}`;
}

// A letter as messages show it.
function printable(letter) {
  const code = letter.codePointAt(0).toString(16).toUpperCase();
  return UNPRINTABLE.test(letter) ? `character U+${code.padStart(4, "0")}` : quoted(letter);
}

// The rows of a CSV as lists of fields, as Python's csv module reads them.
function* csvRows(lines, isStrict) {
  let fields = [];
  let field = [];
  let state = "record";
  const save = (next) => {
    fields.push(field.join(""));
    [field, state] = [[], next];
  };
  const add = (letter, next) => {
    if (field.length >= LONGEST_FIELD) throw new CsvError(`field larger than field limit (${LONGEST_FIELD})`);
    field.push(letter);
    state = next;
  };
  const take = (letter) => {
    const ended = { "": "record", "\n": "line end", "\r": "line end" }[letter]; // "" is the end of a line without one
    if (state === "quoted") {
      if (letter === '"') state = "quote";
      else if (letter) add(letter, state);
    } else if (ended) {
      if (state === "record" || state === "line end") state = ended;
      else save(ended);
    } else if (letter === ",") save("field");
    else if (letter === '"' && (state === "record" || state === "field")) state = "quoted";
    else if (letter === '"' && state === "quote") add(letter, "quoted");
    else if (state === "quote" && isStrict) throw new CsvError("',' expected after '\"'");
    else add(letter, "plain");
  };
  for (const line of lines) {
    for (const letter of line) take(letter);
    take("");
    if (state === "record") {
      yield fields;
      fields = [];
    }
  }
  if (state !== "quoted") return;
  if (isStrict) throw new CsvError("unexpected end of data");
  save("record");
  yield fields;
}

// Lines without the # comments between them; `number` and `line` are those last given.
class TableLines {
  constructor(lines, first, hasComments) {
    Object.assign(this, { lines, first, hasComments, number: first, line: "" });
  }

  *[Symbol.iterator]() {
    for (const [index, line] of this.lines.entries()) {
      const number = this.first + index;
      if (number - this.number > MOST_BLANKS) throw new CsvError(`${withCommas(MOST_BLANKS)} lines without a row`);
      if (this.hasComments && stripStart(line).startsWith("#")) continue;
      Object.assign(this, { number, line });
      yield line;
    }
  }
}

/**
 * The questions of a table whose first line is line `number`: text, line, and letters before it there.
 *
 * noun   what a question is called in a message.
 * isRow  whether the first field of the first line is a question already, as there is no header.
 */
function* readColumn(header, rest, number, source, { noun, hasComments, isRow = () => false }) {
  let table = { number };
  let found = false;
  try {
    const names = columnNames(csvRows([header], false).next().value, `${source}:${number}`);
    const chosen = QUESTION_COLUMNS.find((name) => names.includes(name));
    const column = chosen ? names.indexOf(chosen) : 0;
    if (!chosen && !isRow(names[0])) {
      throw new PuzzleError(
        `${source}:${number}: the CSV header has no column named question, puzzle or quizzes; name one`,
      );
    }
    table = new TableLines(chosen ? rest : [header, ...rest], chosen ? number + 1 : number, hasComments);
    for (const row of csvRows(table, true)) {
      if (!row.length) continue;
      if (row.length <= column) {
        throw new PuzzleError(`${source}:${table.number}: expected ${column + 1} fields or more, got ${row.length}`);
      }
      found = true;
      yield [row[column], table.number, offsetOf(table.line, column)];
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new PuzzleError(`${source}:${table.number}: not CSV (${error.message}); correct it`);
  }
  if (!found) throw new PuzzleError(`${source}:${number}: a CSV header and no ${noun}; add rows below it`);
}

// The names in a header; none of ours may be there twice.
function columnNames(header, place) {
  const names = header.map((name) => strip(name).toLowerCase());
  const ours = [...QUESTION_COLUMNS, ...ANSWER_COLUMNS];
  const twice = ours.find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice) throw new PuzzleError(`${place}: two columns named ${twice}; rename one`);
  return names;
}

// Letters before a field's text: commas inside quotes separate no fields.
function offsetOf(line, column) {
  let [index, isQuoted] = [0, false];
  for (const [position, letter] of [...line].entries()) {
    if (index === column && !isQuoted) return position + (letter === '"');
    isQuoted = isQuoted !== (letter === '"');
    index += letter === "," && !isQuoted;
  }
  return 0;
}

// A board as read: its rows, each a list of letters, and the line and column where each begins, from 1.
class Rows {
  constructor(source, rows = [], places = []) {
    Object.assign(this, { source, rows, places });
  }

  // Where a cell stands, for messages; row and column count from 0.
  place(row, column) {
    const [line, before] = this.places[row];
    return `${this.source}:${line}:${before + column}`;
  }
}

/**
 * Square boards of letters: a row a line with empty lines between boards, a board a line, or CSV.
 *
 * noun      what a board is called in messages.
 * sides     the shortest and the longest that a board can have.
 * meant     in messages: what to write.
 * isWhole   whether a line holds a whole board, not one of its rows.
 * remedies  letter that is none: what to write instead.
 */
class Spelling {
  constructor({ noun, sides, meant, isWhole, remedies }) {
    const range = `give one of ${sides.join(" to ")} cells a side`;
    Object.assign(this, { noun, sides, meant, isWhole, remedies, range });
  }

  *read(text, source) {
    let [rows, found] = [new Rows(source), false];
    const lines = splitLines(text);
    for (const [index, line] of lines.entries()) {
      const number = index + 1;
      const row = [...stripEnd(line, "\r\n")];
      const inBoard = rows.rows.length > 0;
      const names = row.join("").split(",").map((name) => strip(name, ' "').toLowerCase());
      if (!found && !inBoard && names.some((name) => QUESTION_COLUMNS.includes(name))) {
        const column = readColumn(line, lines.slice(number), number, source, { noun: this.noun, hasComments: false });
        for (const [one, place, before] of column) yield this.split(one, place, source, before);
        return;
      }
      const isRow = strip(row.join("")) || (inBoard && row.length === rows.rows[0].length);
      if (inBoard && (!isRow || (this.isWhole(rows.rows.at(-1)) && this.isWhole(row)))) {
        yield this.finished(rows);
        [rows, found] = [new Rows(source), true];
      }
      if (!isRow) continue;
      if (rows.rows.length === this.sides[1] && !this.isWhole(row)) {
        throw new PuzzleError(`${source}:${number}: more than ${this.sides[1]} rows of a ${this.noun}; ${this.range}`);
      }
      rows.rows.push(row);
      rows.places.push([number, 1]);
    }
    if (rows.rows.length) yield this.finished(rows);
    else if (!found) throw new PuzzleError(`${source}:1: no ${this.noun} in it; ${this.meant}`);
  }

  finished(rows) {
    const isAlone = rows.rows.length === 1 && this.isWhole(rows.rows[0]);
    return isAlone ? this.split(rows.rows[0], rows.places[0][0], rows.source) : rows;
  }

  // The board that stands on one line, cut into its rows, which must make a square.
  split(text, number, source, before = 0) {
    const letters = [...text];
    const side = Math.floor(Math.sqrt(letters.length));
    if (!letters.length || side * side !== letters.length) {
      throw new PuzzleError(
        `${source}:${number}:${before + 1}: ${letters.length} cells on a line are no square ${this.noun}; ` +
          `write a row a line, or all rows of a square ${this.noun} one after another`,
      );
    }
    const starts = Array.from({ length: side }, (_, row) => row * side);
    const rows = starts.map((start) => letters.slice(start, start + side));
    return new Rows(source, rows, starts.map((start) => [number, before + start + 1]));
  }

  // A board as tokens; refuses ragged rows and letters that mean nothing.
  tokens(board, tokenOf) {
    const [height, width] = [board.rows.length, board.rows[0].length];
    for (const [number, row] of board.rows.entries()) {
      const column = row.findIndex((letter) => !tokenOf.has(letter));
      if (column >= 0) {
        const what = `${printable(row[column])} is no cell of a ${this.noun}; ${this.meant}`;
        throw new PuzzleError(`${board.place(number, column)}: ${this.remedies.get(row[column]) ?? what}`);
      }
      if (row.length !== width) {
        throw new PuzzleError(
          `${board.place(number, row.length)}: ${row.length} cells in a row, ${width} in the first; make the ` +
            `rows of a ${this.noun} equally long (. is an open cell that editors keep)`,
        );
      }
    }
    if (height !== width || width < this.sides[0] || width > this.sides[1]) {
      const remedy = `${this.noun}s are square: add ${height < width ? "rows" : "columns"} of #`;
      throw new PuzzleError(
        `${board.place(0, 0)}: a ${this.noun} of ${height}x${width}; ${height === width ? this.range : remedy}`,
      );
    }
    return Uint8Array.from(board.rows.flat(), (letter) => tokenOf.get(letter));
  }
}
