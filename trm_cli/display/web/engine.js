// The engine: supervision steps at one puzzle, and what there is to see of them; as solving/engine.py.

const EXAMINE_SECONDS = 2;  // that counting the solutions of a puzzle may take

// Every frame of a run: of each supervision step, and with `inner` of each call of the net in it.
// L cells, V tokens; shares and probabilities from 0 to 1, changes relative to the norm of what came out.
function* watchPuzzle(network, task, puzzle, { settings, views, inner }) {
  const { config } = network, V = config.vocab_size, search = new Search(task, puzzle, V, settings, views);
  const start = network.startingState(), ends = [];
  let seconds = 0, last = null;
  for (let attempt = search.next(); attempt; attempt = search.next()) {
    let began = performance.now();
    const x = network.embed(attempt.shown);
    let [y, z] = start, isOver = false;
    const about = { attempt: attempt.number, max_steps: attempt.maxSteps, guesses: attempt.guesses,
      parent: attempt.parent, cost: attempt.cost };
    while (!isOver) {
      const calls = [], before = [y, z];
      [y, z] = network.step(x, y, z, inner ? observed(network.net, calls) : undefined);
      const logits = network.readAnswer(y), halt = network.readHalt(y), shares = sharesOf(logits, V);
      const probability = 1 / (1 + Math.exp(-halt)), answer = views.undo(likeliest(logits, V), attempt.view);
      const holds = task.rulesHold(puzzle, answer), moved = rootMeanSquare(difference(y, before[0]));
      const score = { margin: () => margin(logits, V), residual: () => -moved }[settings.select] ?? (() => halt);
      Object.assign(attempt, { answer, solved: holds, score: score(), steps: attempt.steps + 1 });
      const fires = probability > 0.5;
      const halted = { verified: fires && holds, q: fires, never: false }[settings.halt];
      isOver = halted || attempt.steps >= attempt.maxSteps;
      if (isOver) search.end(attempt, shares);
      const isEnd = isOver && search.attempts.length >= search.needed, chosen = isEnd ? search.choose() : null;
      const latents = (state) => (Array.isArray(state) ? joined(state) : state);
      const change_z = rootMeanSquare(difference(latents(z), latents(before[1]))) / rootMeanSquare(latents(z));
      seconds += (performance.now() - began) / 1000;
      const end = {
        ...about, step: attempt.steps, answer, halted, seconds,
        confidence: confidenceOf(shares, V, attempt.view, views), halt_probability: probability, change_y: moved / rootMeanSquare(y), change_z, update: null,
        is_last: chosen === attempt, finding: chosen === attempt && !attempt.solved ? search.finding : null,
      };
      last = inner ? yield* insideFrames(network, calls, last, end, attempt, views, puzzle) : end;
      if (!inner) yield end;
      ends[attempt.number] = last;
      if (chosen && chosen !== attempt) {
        yield { ...ends[chosen.number], seconds, is_last: true, finding: chosen.solved ? null : search.finding };
      }
      began = performance.now();
    }
  }
}

// A net that notes its calls: the streams that it added, and what it made of them.
function observed(net, calls) {
  return (...streams) => {
    const out = net(...streams);
    calls.push([streams, out]);
    return out;
  };
}

// The frames after each call of the net in a step; the last one, which it gives back too, is the step's own.
function* insideFrames(network, calls, last, end, attempt, views, puzzle) {
  const { config } = network, V = config.vocab_size, L = config.num_cells;
  let { answer, confidence } = last ?? { answer: puzzle, confidence: null };
  for (let place = 0; place < calls.length; place++) {
    const [streams, out] = calls[place], [following] = calls[Math.min(place + 1, calls.length - 1)];
    const recursion = Math.floor(place / (config.n + 1)) + 1, number = (place % (config.n + 1)) + 1;
    const stream = streams.length === 3 ? "z" : "y";
    const moved = stream === "z" ? difference(following.at(-1), streams[2]) : difference(out, streams[0]);
    const update = {
      stream, recursion, number, call: spelled(config, streams.length, number),
      heat: views.place(heatOfCells(network, moved, L), attempt.view),
      change: rootMeanSquare(moved) / rootMeanSquare(out),
    };
    if (place === calls.length - 1) {
      yield end = { ...end, update };
      break;
    }
    if (stream === "y") {
      const logits = network.readAnswer(out);
      answer = views.undo(likeliest(logits, V), attempt.view);
      confidence = confidenceOf(sharesOf(logits, V), V, attempt.view, views);
    }
    yield { ...end, answer, confidence, update, inside: true, halted: false, is_last: false, finding: null };
  }
  return end;
}

// How far each cell's vectors moved, [L]: the root of their mean square.
function heatOfCells(network, moved, L) {
  const D = network.config.hidden_size, fields = network.sharesSymbols ? network.rows / L : 1;
  const first = network.rows - fields * L;  // after the prefix
  return Float32Array.from({ length: L }, (_, cell) => {
    let squares = 0;
    for (let field = 0; field < fields; field++) {
      const at = (first + field * L + cell) * D;
      for (let i = 0; i < D; i++) squares += moved[at + i] ** 2;
    }
    return Math.sqrt(squares / (fields * D));
  });
}

// A call of the net with so many streams, the one of that number in its recursion, in letters.
function spelled(config, streams, number) {
  const [y, z] = config.num_nets === 2 ? ["z_H", "z_L"] : ["y", "z"];
  const [answers, thinks] = config.num_nets === 2 ? ["f_H", "f_L"] : ["net", "net"];
  if (config.recursion === "single_z") return streams === 2 ? "y = net(y, x)" : "y = net(y)";
  if (config.recursion === "multi_z") {
    const sum = `${z}_1 + ... + ${z}_${config.n}`;
    return streams === 3 ? `${z}_${number} = ${thinks}(x, ${y}, ${sum})` : `${y} = ${answers}(${y}, ${sum})`;
  }
  return streams === 3 ? `${z} = ${thinks}(x, ${y}, ${z})` : `${y} = ${answers}(${y}, ${z})`;
}

// The share of the likeliest token of each cell, [L], at the cells as they are.
function confidenceOf(shares, V, view, views) {
  const most = Float32Array.from({ length: shares.length / V }, (_, cell) =>
    shares.subarray(cell * V, (cell + 1) * V).reduce((best, share) => Math.max(best, share)));
  return views.place(most, view);
}

// The mean, over cells, of the best logit less the second best.
function margin(logits, V) {
  let sum = 0;
  for (let at = 0; at < logits.length; at += V) {
    const [first, second] = logits.slice(at, at + V).sort().reverse();
    sum += first - second;
  }
  return (sum * V) / logits.length;
}

const difference = (first, second) => first.map((value, i) => value - second[i]);
const rootMeanSquare = (state) => Math.sqrt(state.reduce((sum, value) => sum + value * value, 0) / state.length);
const joined = (latents) => Float32Array.from(latents.flatMap((latent) => [...latent]));
