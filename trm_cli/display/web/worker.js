// The network in a worker, so that the page stays responsive: it takes a step when it is asked to.

let shipped = null, weights = null, kernels = null, begun = null;
const networks = {};  // by side of the board

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// The weights by name, out of base64, deflate and the bytes of each number in planes.
async function unpack({ weights: text, storage, tensors }) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = storage === "bfloat16" ? 2 : 4, count = planes.length / size;
  const bytes = new Uint8Array(4 * count);  // a bfloat16 is the upper half of a float32
  for (let i = 0; i < planes.length; i++) bytes[4 * (i % count) + 4 - size + Math.floor(i / count)] = planes[i];
  const numbers = new Float32Array(bytes.buffer), found = {};
  let at = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const length = shape.reduce((product, size) => product * size, 1);
    found[name] = { shape, data: numbers.subarray(at, at + length) };
    at += length;
  }
  return found;
}

// The network for boards of a size; of another than its own, with their boxes, of a maze of one cell, and symbols.
function networkFor(task, numCells) {
  const { config, settings } = shipped, [height, width, ...box] = task.shape(numCells);
  const [box_height, box_width] = task.hasBlanks ? box : [1, 1];
  const board = { height, width, box_height, box_width, vocab_size: task.vocabSize(numCells) };
  const resized = { ...config, ...(config.height * config.width === numCells ? {} : board) };
  return (networks[height] ??= new TinyRecursiveModel(kernels, resized, weights, settings.seed));
}

const HANDLERS = {
  async load(message) {
    shipped = message.network;
    try {
      [weights, kernels] = [await unpack(shipped), await WebAssembly.compile(bytesOf(shipped.kernels))];
    } catch (error) {
      throw new Error(`this browser cannot run the network (${error.message}); take one of 2023 or later`);
    }
  },

  begin({ run, puzzle, inner }) {
    const task = TASKS[shipped.task], { tokens, height } = puzzle, views = new Views(shipped.views, height);
    const how = { settings: shipped.settings, views, inner };
    begun = { run, coming: watchPuzzle(networkFor(task, tokens.length), task, tokens, how) };
  },

  // The frames of one supervision step.
  step({ run }) {
    if (begun?.run !== run) return;
    const step = [];
    let next;
    do {
      next = begun.coming.next();
      if (!next.done) step.push(next.value);
    } while (!next.done && next.value.inside);
    postMessage({ kind: "frames", run, frames: step, done: Boolean(next.done) });
  },
};

let loaded = null;
onmessage = async ({ data }) => {
  try {
    await loaded;  // what is asked for meanwhile waits
    const handled = HANDLERS[data.kind](data);
    loaded ??= handled;
    await handled;
  } catch (error) {
    postMessage({ kind: "error", message: String(error.message ?? error) });
  }
};
