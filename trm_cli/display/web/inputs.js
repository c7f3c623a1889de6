// Puzzles as typed, in JSON or in a task's own spelling: what trm_cli/tasks/inputs.py reads, in its words.

class FileError extends Error {}

const TASKS = { sudoku, maze };
// Known, but not solved on a page: trm_cli/tasks/arc.py.
const arc = { name: "arc", recognises: (text) => stripStart(text).startsWith("{") && text.includes('"train"') };
const SAMPLE = 1 << 16; // characters of a text that show what it is
const MOST_CELLS = 1 << 16; // of a puzzle that comes as rows of JSON
const DIGITS_OF_A_CELL = 6;
const CELL_SYMBOLS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"; // of the numbers of a cell
const DEEPEST_JSON = 960; // lists and objects inside one another
const LONGEST_INTEGER = 4300; // digits
// The first line of what `trm watch --save` writes.
const IS_TRACE = new RegExp(`^[${SPACES}]*\\{"trace": \\p{Nd}`, "u");
// Not [Puzzle], the first line of an .sdk file.
const IS_JSON = new RegExp(`^[${SPACES}]*(?:\\{|\\[[${SPACES}]*(?:[\\[{"\\p{Nd}\\]]|null|$))`, "u");
const JSON_NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const JSON_WORDS = new Map([["null", null], ["true", true], ["false", false]]);
const JSON_CONSTANTS = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);
const JSON_ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

// A number of JSON, and how Python shows it.
class JsonNumber {
  constructor(value, text) {
    Object.assign(this, { value, text: text ?? floatText(value), isInteger: text !== undefined });
  }
}

// A number with a fraction or an exponent, as Python shows it.
function floatText(value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  const [digits, exponent] = value.toExponential().split("e");
  if (exponent < -4 || exponent >= 16) return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  const text = Object.is(value, -0) ? "-0" : String(value);
  return Number.isInteger(value) ? `${text}.0` : text;
}

// JSON as Python reads it (schema.py), in its words; browsers have others, and lose digits. Objects become maps.
class JsonText {
  constructor(text, takesConstants = false) {
    Object.assign(this, { text, takesConstants, index: 0, depth: 0 });
  }

  fail(what, index) {
    const lines = this.text.slice(0, index).split("\n");
    const place = `line ${withCommas(lines.length)}, column ${withCommas([...lines.at(-1)].length + 1)}`;
    throw new FileError(`not JSON (${what}, ${place})`);
  }

  skip() {
    while (" \t\n\r".includes(this.text[this.index] ?? "end")) this.index += 1;
  }

  // Whether a letter comes next, which is then taken.
  takes(letter) {
    const isNext = this.text[this.index] === letter;
    this.index += isNext;
    return isNext;
  }

  document() {
    if (this.text.startsWith("\ufeff")) this.fail("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0);
    this.skip();
    const value = this.value();
    this.skip();
    if (this.index < this.text.length) this.fail("Extra data", this.index);
    return value;
  }

  value() {
    if (this.takes('"')) return this.string();
    if (this.takes("{")) return this.nested(() => this.object());
    if (this.takes("[")) return this.nested(() => this.list());
    for (const [word, value] of [...JSON_WORDS, ...JSON_CONSTANTS]) {
      if (!this.text.startsWith(word, this.index)) continue;
      this.index += word.length;
      if (JSON_WORDS.has(word)) return value;
      if (!this.takesConstants) throw new FileError(`not JSON: ${word} is no number`);
      return new JsonNumber(value);
    }
    return this.number();
  }

  number() {
    JSON_NUMBER.lastIndex = this.index;
    const [text, fraction, exponent] = JSON_NUMBER.exec(this.text) ?? this.fail("Expecting value", this.index);
    this.index += text.length;
    if (fraction || exponent) return new JsonNumber(Number(text));
    if (text.replace("-", "").length > LONGEST_INTEGER) throw new FileError("not JSON: a number of too many digits");
    return new JsonNumber(Number(text), text === "-0" ? "0" : text);
  }

  string() {
    const start = this.index - 1;
    for (let taken = ""; ; ) {
      const letter = this.text[this.index] ?? this.fail("Unterminated string starting at", start);
      if (letter < " ") this.fail("Invalid control character at", this.index);
      this.index += 1;
      if (letter === '"') return taken;
      taken += letter === "\\" ? this.escape(start) : letter;
    }
  }

  escape(start) {
    const letter = this.text[this.index] ?? this.fail("Unterminated string starting at", start);
    this.index += 1;
    if (letter !== "u") return JSON_ESCAPES[letter] ?? this.fail("Invalid \\escape", this.index - 2);
    const hex = this.text.slice(this.index, this.index + 4);
    this.index += 4;
    if (!/^[0-9A-Fa-f]{4}$/.test(hex) || this.index >= this.text.length) {
      this.fail("Invalid \\uXXXX escape", this.index - 5);
    }
    return String.fromCharCode(parseInt(hex, 16));
  }

  nested(read) {
    this.depth += 1;
    if (this.depth > DEEPEST_JSON) throw new FileError("not JSON: nested too deeply");
    this.skip();
    const value = read();
    this.depth -= 1;
    return value;
  }

  list() {
    const values = [];
    if (this.takes("]")) return values;
    do {
      this.skip();
      values.push(this.value());
      this.skip();
    } while (this.takes(","));
    if (!this.takes("]")) this.fail("Expecting ',' delimiter", this.index);
    return values;
  }

  object() {
    const values = new Map();
    if (this.takes("}")) return values;
    do {
      this.skip();
      if (!this.takes('"')) this.fail("Expecting property name enclosed in double quotes", this.index);
      const name = this.string();
      this.skip();
      if (!this.takes(":")) this.fail("Expecting ':' delimiter", this.index);
      this.skip();
      values.set(name, this.value());
      this.skip();
    } while (this.takes(","));
    if (!this.takes("}")) this.fail("Expecting ',' delimiter", this.index);
    return values;
  }
}

// What a call gives, or the FileError that it throws.
function orFileError(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof FileError) return error;
    throw error;
  }
}

// The puzzles of a JSON text, each on one line, and the line of the text that each begins on.
function* jsonQuestions(lines, source) {
  for (const [index, line] of lines.entries()) {
    const place = `${source}:${index + 1}`;
    const value = strip(line) ? orFileError(() => new JsonText(line).document()) : [];
    if (!(value instanceof FileError)) {
      for (const text of questionsIn(value, place)) yield [text, index + 1];
      continue;
    }
    const whole = orFileError(() => new JsonText(lines.slice(index).join("")).document());
    if (whole instanceof FileError) throw new PuzzleError(`${place}: ${whole.message}; correct the file`);
    for (const text of questionsIn(whole, source)) yield [text, index + 1];
    return;
  }
}

// The puzzles in a value of JSON: an object, a text, rows of one puzzle, or a list of any of these.
function* questionsIn(value, place) {
  if (value instanceof Map) {
    const name = [...QUESTION_COLUMNS, "puzzles"].find((one) => value.has(one));
    if (!name) {
      throw new PuzzleError(`${place}: an object without a field named ${QUESTION_COLUMNS.join(" or ")}; add one`);
    }
    yield* questionsIn(value.get(name), place);
  } else if (typeof value === "string") {
    yield bareLines(value).join("");
  } else if (Array.isArray(value)) {
    const areAll = (isSo) => value.length > 0 && value.every(isSo);
    const areRows = areAll((row) => Array.isArray(row) && !row.some(Array.isArray));
    const areSquare = areAll((row) => typeof row === "string" && [...row].length === value.length);
    if (areRows || (areSquare && !tasksOf(value[0]).length)) {
      yield rowsAsText(value, place);
      return;
    }
    for (const item of value) {
      if (!(item instanceof Map || typeof item === "string" || Array.isArray(item))) {
        throw new PuzzleError(`${place}: ${jsonText(item).slice(0, 20)} where a puzzle should be; write text or rows`);
      }
      yield* questionsIn(item, place);
    }
  } else throw new PuzzleError(`${place}: ${jsonText(value).slice(0, 20)} is no puzzle; write text or rows`);
}

// A number, a truth or nothing, as JSON.
function jsonText(value) {
  return value instanceof JsonNumber ? value.text.replace("inf", "Infinity") : String(value);
}

// Rows of cells as one line: digits and letters as they are, nothing as a blank, numbers from 10 on as letters.
function rowsAsText(rows, place) {
  const cells = rows.flatMap((row) => [...row]);
  if (cells.length > MOST_CELLS) {
    throw new PuzzleError(`${place}: more than ${withCommas(MOST_CELLS)} cells in one puzzle`);
  }
  const highest = Math.floor(Math.sqrt(cells.length));
  return cells.map((cell) => cellAsText(cell, place, highest)).join("");
}

function cellAsText(cell, place, highest) {
  let [text, shown] = [cell ?? "", ""]; // the latter where that is not its text
  if (cell instanceof JsonNumber) {
    const isWhole = Math.abs(cell.value) <= MOST_CELLS && Number.isInteger(cell.value);
    text = isWhole ? String(cell.value) : Number.isNaN(cell.value) ? "" : "many digits";
    shown = isWhole || cell.isInteger ? "" : quoted(cell.text);
  } else if (cell !== null && typeof cell !== "string") {
    [text, shown] = ["no cell", cell instanceof Map ? "a dict" : String(cell)];
  }
  if (!text) return ".";
  const letters = [...text];
  const isShort = letters.length < DIGITS_OF_A_CELL;
  const number = isShort ? letters.reduce((sum, letter) => 10 * sum + digitOf(letter), 0) : NaN;
  if (number >= 10 && number <= Math.min(highest, CELL_SYMBOLS.length - 1)) return CELL_SYMBOLS[number];
  if (letters.length !== 1) {
    const what = shown || quoted(letters.slice(0, 20).join(""));
    throw new PuzzleError(`${place}: ${what} in one cell; write one digit or letter a cell`);
  }
  return text;
}

// The digit that a letter of any script is: they come in tens; not a number for other letters.
function digitOf(letter) {
  const isDigit = (code) => /^\p{Nd}$/u.test(String.fromCodePoint(code));
  const code = letter.codePointAt(0);
  if (!isDigit(code)) return NaN;
  let first = code;
  while (isDigit(first - 1)) first -= 1;
  return (code - first) % 10;
}

// The tasks that a text could hold a puzzle of.
function tasksOf(text) {
  const samples = [text, ...firstQuestion(text)];
  return [sudoku, maze, arc].filter((task) => samples.some((sample) => task.recognises(sample)));
}

// The first puzzle in a text that is JSON or a table with a header; nothing where it is neither, or damaged.
function firstQuestion(text) {
  const lines = splitLines(text);
  const header = lines.findIndex((line) => strip(line) && !line.startsWith("#"));
  if (header < 0) return [];
  const firstOf = (questions) => [questions.next().value].filter((one) => one !== undefined);
  try {
    if (IS_JSON.test(text)) {
      try {
        return firstOf(jsonQuestions(lines, "")).map(([question]) => question);
      } catch (error) {
        if (!(error instanceof PuzzleError)) throw error;
      }
      const rest = stripStart(stripStart(text).slice(1)); // of a list without its end
      return firstOf(questionsIn(new JsonText(rest, true).value(), ""));
    }
    const names = lines[header].split(",").map((name) => strip(name, ' "\r\n').toLowerCase());
    if (names.some((name) => QUESTION_COLUMNS.includes(name))) {
      const how = { noun: "puzzle", hasComments: true };
      return firstOf(readColumn(lines[header], lines.slice(header + 1), 1, "", how)).map(([question]) => question);
    }
  } catch (error) {
    if (!(error instanceof PuzzleError || error instanceof FileError)) throw error;
  }
  return [];
}

// Read and check every puzzle of a text; throws PuzzleError with what is wrong, where, and what to do.
function readPuzzles(task, text) {
  const name = "puzzle";
  const lines = splitLines(text);
  const start = lines.findIndex((line) => strip(line));
  const blanks = start < 0 ? lines.length : start;
  const rest = lines.slice(blanks);
  if (IS_TRACE.test(rest[0] ?? "")) {
    throw new PuzzleError(`${name}: a recorded run, not a puzzle; show it with trm watch --replay ${name}`);
  }
  const whole = [...Array(blanks).fill("\n"), ...rest];
  const coming = IS_JSON.test(rest[0] ?? "") ? readJson(task, whole, name) : task.read(whole.join(""), name);
  try {
    return collect(coming, name);
  } catch (error) {
    const others = error instanceof PuzzleError ? tasksOf(sampleOf(lines)) : [];
    if (others.length !== 1 || others[0].name === task.name) throw error;
    const other = others[0].name;
    const kind = `${"aeiou".includes(other[0]) ? "an" : "a"} ${other}`;
    throw new PuzzleError(`${name}: this looks like ${kind}, not a ${task.name}; write trm solve ${other}`);
  }
}

function* readJson(task, lines, source) {
  for (const [question, line] of jsonQuestions(lines, source)) yield task.readOne(question, line, source);
}

// The beginning of a text, in whole lines.
function sampleOf(lines) {
  let length = 0;
  const end = lines.findIndex((line) => (length += line.length) > SAMPLE);
  return lines.slice(0, end < 0 ? lines.length : end + 1).join("");
}

// All puzzles, which must be of one size.
function collect(coming, source) {
  const found = [];
  for (const puzzle of coming) {
    const [one, first] = [puzzle, found[0] ?? puzzle].map(({ height, width }) => `${height}x${width}`);
    if (one !== first) {
      const place = `${source}:${puzzle.line}`;
      throw new PuzzleError(`${place}: a ${one} grid after ${first} ones; give each size a file of its own`);
    }
    found.push(puzzle);
  }
  if (!found.length) throw new PuzzleError(`${source}: no puzzle in it`);
  return found;
}
