"use strict";
const run = JSON.parse(document.getElementById("run").textContent);
const $ = (id) => document.getElementById(id);
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const HEAT = ["#26214a", "#57156d", "#8f2669", "#c73e4c", "#ed6925", "#fba41a", "#fcffa4"];
const isTree = run.search !== "none", BARS = 64;
let at = 0, speed = 2, isPlaying = false, isStepping = false, timer = null;
// What a run that is still computed changes: `ask` for what follows the last moment, false where nothing does.
const hooks = {
  ask: () => false, shown: () => {}, playLabel: () => (at === moments.length - 1 ? "Replay" : "Play"),
};

// The moments so far; the finished steps of every puzzle, by page and place, each with its moment; and by
// moment, how many there are by then.
const moments = [], finished = {}, sofar = [];

// Add a moment, which names only the frames that are new in it: fill in those that stay.
function addMoment(moment) {
  const last = moments[moments.length - 1], number = moments.length;
  const frames = last && last.page === moment.page ? last.frames.map((frame) => ({ ...frame, isNew: false })) : [];
  for (const frame of moment.frames) frames[frame.place] = { ...frame, isNew: true };
  moments.push({ page: moment.page, inside: moment.inside, frames });
  sofar.push(frames.map((frame, place) => {
    const steps = finished[`${moment.page} ${place}`] ??= [];
    if (!moment.inside && frame.isNew && frame.step > 0) steps.push({ number, frame });
    return steps.length;
  }));
  $("slider").max = number;
}

function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A role's colours become rules of style: exact on blocks and under letters, weak for what only fills its place.
function rulesOf(role) {
  const isBlock = run.layout === "blocks", byConfidence = role.style === null, words = (role.style || "").split(" ");
  const sure = "color-mix(in oklab, var(--guess), var(--certain) var(--confidence))";
  const rules = [];
  if (words.includes("bold")) rules.push("font-weight: 700");
  if (words.includes("dim")) rules.push("color: var(--faint)");
  if (role.ink) rules.push(role.fills ? `color: rgb(${role.ink})` : `color: color-mix(in oklab, rgb(${role.ink}), var(--contrast))`);
  if (role.fills && role.colour) rules.push(isBlock || role.ink ? `background: rgb(${role.colour})`
    : `background: color-mix(in oklab, rgb(${role.colour}) var(--weak), var(--paper))`);
  if (role.fills && isBlock) rules.push("color: transparent");
  else if (role.fills && byConfidence) rules.push(`background: ${sure}`);
  else if (byConfidence) rules.push(`color: ${sure}`);
  return rules.join("; ");
}

const GUESSES = `.guessed { background: var(--filled-paper); color: #ffffff; font-weight: 700; }
  .taken { background: color-mix(in oklab, var(--filled-paper) var(--taken), var(--paper)); }`;
const ALSO_VIOLATED = ".guessed.violated { box-shadow: inset 5px 0 var(--filled-paper); }";

const VIOLATED = {
  grid: ".violated { color: var(--violation); background: var(--violation-paper); font-weight: 400; }",
  path: ".violated { color: #ffffff; background: #cf222e; }",
  blocks: ".violated::before { content: '\\d7'; color: #ffffff; text-shadow: 0 0 2px #000000, 0 0 2px #000000; }",
};
$("roles").textContent = run.roles.map((role, place) => `.role-${place} { ${rulesOf(role)} }`).join("\n")
  + GUESSES + VIOLATED[run.layout] + ALSO_VIOLATED;

// What colours mean: [words, background, mark].
function colours() {
  const red = run.layout === "path" ? "#cf222e" : "var(--violation-paper)";
  const shown = [["violation", run.layout === "blocks" ? "#000000" : red, run.layout === "blocks" ? "\u00d7" : ""],
    ["changed", "var(--new)", ""]];
  if (run.layout !== "blocks") shown.unshift(["unsure to certain", "linear-gradient(90deg, var(--guess), var(--certain))", ""]);
  if (isTree) shown.push(["guess", "var(--filled-paper)", ""],
    ["guess taken back", "color-mix(in oklab, var(--filled-paper) var(--taken), var(--paper))", ""]);
  return shown.map(([words, background, mark]) => {
    const item = element("li"), swatch = element("span", background.startsWith("linear") ? "swatch wide" : "swatch", mark);
    swatch.style.background = background;
    swatch.style.color = "#ffffff";
    item.append(swatch, element("span", "", words));
    return item;
  });
}

function legend() {
  const list = element("ul", "legend");
  list.append(...colours());
  return list;
}

function board(frame, puzzle) {
  const drawn = element("div", `board ${run.layout}`);
  drawn.style.gridTemplateColumns = `repeat(${puzzle.width}, 1fr)`;
  drawn.style.setProperty("--columns", puzzle.width);
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `answer after step ${frame.step}`);
  const changed = new Set(frame.isNew ? frame.changed : []), violations = new Set(frame.violations);
  const guessed = new Set(frame.guessed), takenBack = new Set(frame.taken_back);
  frame.glyphs.forEach((glyph, cell) => {
    const row = Math.floor(cell / puzzle.width), column = cell % puzzle.width;
    const made = element("div", `cell role-${frame.roles[cell]}`, glyph);
    if (column % puzzle.box_width === puzzle.box_width - 1) made.classList.add("box-right");
    if (row % puzzle.box_height === puzzle.box_height - 1) made.classList.add("box-below");
    if (column === puzzle.width - 1) made.classList.add("last-column");
    if (row === puzzle.height - 1) made.classList.add("last-row");
    if (violations.has(cell)) made.classList.add("violated");
    if (changed.has(cell)) made.classList.add("changed");
    if (guessed.has(cell)) made.classList.add("guessed");
    if (takenBack.has(cell)) made.classList.add("taken");
    if (frame.confidence) made.style.setProperty("--confidence", `${frame.confidence[cell]}%`);
    drawn.append(made);
  });
  return drawn;
}

// What the steps of a puzzle came to, each with its moment; of many, those around the moment that is shown.
function history(place, of) {
  const steps = finished[`${moments[at].page} ${place}`];
  const first = Math.max(0, Math.min(sofar[at][place] - Math.round(BARS * 3 / 4), steps.length - BARS));
  return steps.slice(first, first + BARS).map(({ number, frame }) => ({ number, value: of(frame) }));
}

const upTo = (series) => series.filter((item) => item.number <= at);

function reading(name, value, colour, series = [], most = 0) {
  const line = element("div", "reading"), bars = element("div", "bars"), now = upTo(series).length - 1;
  line.title = MEANINGS[name] ?? "";
  line.append(element("span", "", name), element("b", "", value), bars);
  bars.style.color = `var(--${colour})`;
  const top = most || Math.max(...series.map((item) => item.value), 1e-9);
  series.forEach((item, index) => {
    const bar = element("i", index === now ? "now" : index > now ? "later" : "");
    bar.style.height = `${Math.max(0, Math.min(1, item.value / top)) * 100}%`;
    bars.append(bar);
  });
  return line;
}

const MEANINGS = Object.fromEntries(run.meanings);
const percent = (share) => share === null ? "-" : `${(100 * share).toFixed(1)}%`;
const norm = (value) => value === null ? "-" : value.toFixed(3);
const mean = (values) => values ? values.reduce((sum, value) => sum + value, 0) / values.length / 100 : 0;

const attemptOf = (frame) => isTree ? frame.node : `${frame.attempt + 1}` + (run.num_attempts ? ` of ${run.num_attempts}` : "");
const attempt = isTree ? "node" : "attempt";
const stepOf = (frame) => `step ${frame.step} of ${frame.max_steps}`;

function told(frame, place) {
  const box = document.createDocumentFragment();
  const verdict = element("p", `verdict ${frame.ending}`, frame.verdict);
  verdict.id = "verdict";
  const update = frame.update;
  const call = update ? `recursion ${update.recursion} of ${run.T}, call ${update.number} of ${run.n + 1}: ` +
    (update.call || (update.stream === "z" ? "z = net(x, y, z)" : "y = net(y, z)")) : "";
  box.append(verdict);
  if (run.inner) box.append(element("p", "call", call));
  const halts = history(place, (item) => item.halt), past = upTo(halts);
  const moved = update && frame.inside ? { [update.stream]: update.change } : {};
  const step = reading("step", `${frame.step} of ${frame.max_steps}`, "certain"), done = element("i");
  done.style.width = `${100 * frame.step / frame.max_steps}%`;
  step.lastChild.classList.add("done");
  step.lastChild.append(done);
  box.append(
    step,
    reading("halt probability", percent(past.length ? past[past.length - 1].value : null), "halt", halts, 1),
    reading("confidence", frame.confidence ? percent(mean(frame.confidence)) : "-", "certain",
      history(place, (item) => mean(item.confidence)), 1),
    reading("changed", String(frame.changed.length), "new", history(place, (item) => item.changed.length)),
    reading("violations", String(frame.violations.length), "violation", history(place, (item) => item.violations.length)),
    reading(`change of ${run.letters[0]}`, norm(moved.y ?? frame.change_y), "moving", history(place, (item) => item.change_y)),
    reading(`change of ${run.letters[1]}`, norm(moved.z ?? frame.change_z), "moving", history(place, (item) => item.change_z)),
    reading(attempt, attemptOf(frame), "certain"),
    ...(frame.tried > 1 && isTree ? [path(frame)] : []),
    reading("time", `${frame.seconds.toFixed(2)} s`, "certain"),
    legend());
  const nodes = (run.trees[moments[at].page] || [])[place] || [];
  if (nodes.length && frame.tried > 1) box.append(tree(frame, nodes, place));
  if (update) box.append(heatOf(update, run.puzzles[moments[at].page][place]));
  return box;
}

// The guesses from the root to a node, and those that it takes back.
function path(frame) {
  const line = element("div", "reading guesses"), guesses = element("span", "", frame.guesses.join(" \u203a ") || "no guess");
  for (const guess of frame.back) guesses.append(" ", element("s", "", guess));
  line.append(element("span", "", `depth ${frame.guesses.length}`), guesses);
  return line;
}

const SVG = (() => {
  const box = element("div");
  box.innerHTML = "<svg></svg>";
  return box.firstChild.namespaceURI;
})();
const TREE_WIDTH = 440, TREE_HEIGHT = 290, ROW = 44, LEAST_ROW = 14, LARGEST = 9;
let drawn = null;  // the tree on the screen, its nodes, and what was last marked in it

function drawTree(key, nodes) {
  const part = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    return made;
  };
  const leaves = 1 + Math.max(...nodes.map((node) => node.x)), depth = Math.max(...nodes.map((node) => node.depth));
  const pitch = (TREE_WIDTH - 2 * LARGEST) / leaves, radius = Math.max(1, Math.min(LARGEST, 0.42 * pitch));
  const row = Math.max(LEAST_ROW, Math.min(ROW, TREE_HEIGHT / depth));
  const x = (node) => LARGEST + (node.x + 0.5) * pitch, y = (node) => LARGEST + 1 + node.depth * row;
  const svg = part("svg", { class: "tree", viewBox: `0 0 ${TREE_WIDTH} ${depth * row + 2 * LARGEST + 2}`, role: "img" });
  svg.setAttribute("aria-label", `tree of ${nodes.length} nodes`);
  const lines = nodes.map((node) => {
    if (node.parent === null) return null;
    const above = nodes[node.parent], middle = (y(node) + y(above)) / 2;
    return part("path", { d: `M${x(above)} ${y(above)}C${x(above)} ${middle} ${x(node)} ${middle} ${x(node)} ${y(node)}` });
  });
  const circles = nodes.map((node, number) => {
    const group = part("g", {}), title = part("title", {}), size = node.parent === null ? Math.max(4, radius) : radius;
    title.textContent = `node ${number + 1}${node.guess ? `: ${node.guess}` : ""}, ` +
      (node.solved ? run.praise : `${node.violations} violation${node.violations === 1 ? "" : "s"}`);
    group.append(title, part("circle", { cx: x(node), cy: y(node), r: size }));
    if (radius > 5 && node.guess) {
      const symbol = part("text", { x: x(node), y: y(node), "font-size": 1.45 * radius });
      symbol.textContent = node.guess.split("=")[1];
      group.append(symbol);
    }
    group.addEventListener("click", () =>
      go(finished[key].filter(({ frame }) => frame.attempt === number).pop()?.number ?? at));
    return group;
  });
  svg.append(...lines.filter((line) => line), ...circles);
  return { key, svg, lines, circles, marked: [], tried: 0 };
}

function tree(frame, nodes, place) {
  const key = `${moments[at].page} ${place}`;
  if (!drawn || drawn.key !== key || drawn.circles.length !== nodes.length) {
    drawn = drawTree(key, nodes);
    nodes.forEach((_, number) => { mark(number, "later"); });
  }
  const way = new Set();
  for (let number = frame.attempt; number !== null; number = nodes[number].parent) way.add(number);
  const least = Math.min(drawn.tried, frame.tried), most = Math.max(drawn.tried, frame.tried), touched = new Set([...drawn.marked, ...way]);
  for (let number = least; number < most; number++) touched.add(number);
  for (const number of touched) {
    const isShown = number === frame.attempt;
    const isRight = isShown ? frame.stands === run.praise : nodes[number].solved;
    mark(number, [number >= frame.tried ? "later" : "", way.has(number) ? "now" : "", isShown ? "shown" : "",
      isRight && number < frame.tried ? "right" : ""].join(" ").trim());
  }
  drawn.marked = [...way];
  drawn.tried = frame.tried;
  return drawn.svg;
}

function mark(number, classes) {
  drawn.circles[number].setAttribute("class", classes);
  if (drawn.lines[number]) drawn.lines[number].setAttribute("class", classes);
}

function heatOf(update, puzzle) {
  const box = element("div", "inside"), heat = element("div", "heat"), words = element("div"), scale = element("div", "scale");
  heat.id = "heat";
  heat.style.gridTemplateColumns = `repeat(${puzzle.width}, 1fr)`;
  for (const value of update.heat) {
    const dot = element("i");
    const level = Math.min(1, value) * (HEAT.length - 1), low = Math.min(Math.floor(level), HEAT.length - 2);
    dot.style.background = `color-mix(in srgb, ${HEAT[low]}, ${HEAT[low + 1]} ${100 * (level - low)}%)`;
    heat.append(dot);
  }
  const bar = element("span", "swatch wide");
  bar.style.background = `linear-gradient(90deg, ${HEAT.join(", ")})`;
  scale.append("0", bar, String(run.hottest));
  words.append(element("p", "", "how far this call moved each cell (root mean square)"), scale);
  box.append(heat, words);
  return box;
}

// How a puzzle of several stands, under its number.
function caption(frame, number) {
  const made = element("figcaption"), stands = !frame.step ? "" : frame.ending ? frame.verdict
    : `${stepOf(frame)}, ${frame.stands}`;
  made.append(element("b", "", `puzzle ${number}`), stands ? ": " : "", element("span", frame.ending, stands));
  return made;
}

function tally(frames) {
  const of = (ending) => frames.filter((frame) => frame.ending === ending).length;
  const [solved, failed, running] = [of("solved"), of("failed"), of("")];
  const verdict = element("p", "verdict" + (solved === frames.length ? " solved" : ""), `${solved} of ${frames.length} ${run.praise}` +
    (failed ? `, ${failed} not ${run.praise}` : "") + (running ? `, ${running} running` : ""));
  verdict.id = "verdict";
  return verdict;
}

// Where in the run a moment is, in the words of its readings.
function where(moment) {
  const moving = moment.frames.filter((frame) => frame.isNew), steps = moving.map((frame) => frame.step);
  const which = moment.frames.length === 1 && moving[0].attempt ? `, ${attempt} ${attemptOf(moving[0])}` : "";
  const least = Math.min(...steps), most = Math.max(...steps);
  return least < most ? `steps ${least} to ${most}` : stepOf(moving[0]) + which;
}

function show(place) {
  at = Math.max(0, Math.min(moments.length - 1, place));
  const { page, frames } = moments[at], isOne = frames.length === 1, first = page * run.rows * run.columns + 1;
  const hadFocus = $("boards").contains(document.activeElement);
  $("stage").className = isOne ? "stage single" : "stage";
  $("boards").style.setProperty("--across", Math.min(run.columns, frames.length));
  $("boards").style.setProperty("--down", Math.ceil(frames.length / run.columns));
  $("boards").replaceChildren(...frames.map((frame, index) => {
    const figure = element("figure");
    if (!isOne) figure.append(caption(frame, first + index));
    figure.append(board(frame, run.puzzles[page][index]));
    return figure;
  }));
  $("told").replaceChildren(...(isOne ? [told(frames[0], 0)] : [tally(frames), legend()]));
  const which = isOne ? `puzzle ${first}` : `puzzles ${first} to ${first + frames.length - 1}`;
  $("model").textContent = `${run.model}, ${run.num_parameters.toLocaleString("en")} parameters` +
    (run.num_puzzles > 1 ? `; ${which} of ${run.num_puzzles}` : "") + (run.remark ? `; ${run.remark}` : "");
  $("slider").value = at;
  $("place").textContent = where(moments[at]);
  $("slider").setAttribute("aria-valuetext", where(moments[at]));
  labelPlay();
  announce();
  hooks.shown(hadFocus);
}

function labelPlay() { $("play").textContent = isPlaying ? "Pause" : hooks.playLabel(); }

function pause() {
  clearTimeout(timer);
  isPlaying = isStepping = false;
  labelPlay();
  announce();
}

// Tell screen readers how it stands; not every step of a run that plays.
function announce() {
  if (!isPlaying && moments.length) $("status").textContent = `${where(moments[at])}: ${$("verdict").textContent}`;
}

// Show this moment for its time, then the next one.
function tick() {
  const stay = moments[at].inside ? run.seconds / 4 : run.seconds, isLast = at === moments.length - 1;
  if (isLast && !hooks.ask()) return pause();
  timer = setTimeout(advance, (1000 * stay) / SPEEDS[speed]);
}

function advance() {
  timer = null;
  if (at === moments.length - 1) return;  // what follows is on its way: `arrive` goes on
  show(at + 1);
  tick();
}

// More moments came.
function arrive() {
  if (isStepping) show(at + 1);
  else if (isPlaying && timer === null) advance();
  isStepping = false;
}

function stepForth() {
  pause();
  if (at < moments.length - 1) show(at + 1);
  else isStepping = hooks.ask();
}

function toggle() {
  if (isPlaying) return pause();
  if (at === moments.length - 1 && !hooks.ask()) show(0);
  isPlaying = true;
  isStepping = false;
  labelPlay();
  tick();
}

function go(place) { pause(); show(place); }

function setSpeed(index) {
  speed = Math.max(0, Math.min(SPEEDS.length - 1, index));
  $("speed").value = String(speed);
  if (isPlaying && timer !== null) { clearTimeout(timer); tick(); }
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
}

// Have a button open a dialog, and another close it, or a press beside it; while it is open, what is shown waits.
function bindDialog(name, opener, closer) {
  const dialog = $(name);
  let wasPlaying = false;
  $(opener).addEventListener("click", () => {
    wasPlaying = isPlaying;
    pause();
    dialog.showModal();
  });
  $(closer).addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { if (wasPlaying && !isPlaying) toggle(); });
  dialog.addEventListener("mousedown", ({ target, clientX, clientY }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const isInside = clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    if (target === dialog && !isInside) dialog.close();
  });
}

bindDialog("help", "what", "close");
for (const [name, meaning] of run.meanings) $("meanings").append(element("dt", "", name), element("dd", "", meaning));
$("colours").append(...colours());

const KEYS = {
  " ": toggle, ArrowLeft: () => go(at - 1), ArrowRight: stepForth, Home: () => go(0),
  End: () => go(moments.length - 1), "+": () => setSpeed(speed + 1), "=": () => setSpeed(speed + 1),
  "-": () => setSpeed(speed - 1), "?": () => $("what").click(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  if ($("help").open && event.key === "?") return $("help").close();
  if (document.querySelector("dialog[open]") || event.target.matches("select, [type=checkbox]")) return;  // theirs
  if (event.key === " " && event.target.tagName === "BUTTON") return;  // it presses itself
  event.preventDefault();
  KEYS[event.key]();
});
$("play").addEventListener("click", toggle);
$("back").addEventListener("click", () => go(at - 1));
$("forth").addEventListener("click", stepForth);
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("speed").addEventListener("change", () => setSpeed(Number($("speed").value)));
$("theme").addEventListener("click", () =>
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));

function start(title) {
  SPEEDS.forEach((value, index) => {
    const option = element("option", "", value === Infinity ? "max" : `${value}x`);
    option.value = String(index);
    $("speed").append(option);
  });
  $("title").textContent = document.title = title;
  setTheme(dark.matches ? "dark" : "light");
  setSpeed(speed);
  show(0);
}

if (run.moments) {
  run.moments.forEach(addMoment);
  start(`trm watch ${run.task}`);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) toggle();
}
