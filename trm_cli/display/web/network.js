// The network: an embedding, one tiny net called again and again, and two heads; as model/network.py.

const FIRST_SYMBOL = 2, BLANK = 1;  // tokens: 0 is padding
const IMPOSSIBLE = -1e4;  // logit of a token that an answer cannot hold
const EMPTY = 0, THIS = 1, OTHER = 2;  // roles of a cell for a symbol

// A network for boards of a size. `config` is its ModelConfig with that board, `tensors` its weights by name,
// each {data, shape}; `seed` draws a random start.
class TinyRecursiveModel {
  constructor(module, config, tensors, seed) {
    const D = config.hidden_size, L = config.num_cells = config.height * config.width;
    const S = config.num_symbols = config.vocab_size - FIRST_SYMBOL;
    this.sharesSymbols = ["equivariant", "units"].includes(config.mixer);
    this.rows = this.sharesSymbols ? S * L : config.num_prefix + L;
    const weights = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
    const activations = 8 * config.num_layers * config.num_nets * roundUp(this.rows, 64) * roundUp(D, 8);
    const attention = config.mixer === "attention" ? 2 * config.num_layers * config.num_nets * (this.rows + 8) ** 2 : 0;
    const mixesCells = ["mlp", "equivariant"].includes(config.mixer);
    const widths = 3 * (config.channel_width + (mixesCells ? config.token_width : 0)) + D + this.rows + 10 * PANEL;
    const wide = ROWS_AT_ONCE * config.num_layers * config.num_nets * widths;
    this.kernels = new Kernels(module, 2 * weights + activations + attention + wide + 2 ** 20);
    Object.assign(this, { config, tensors, seed });
    this.h = this.kernels.rows(this.rows, D);
    const nets = config.num_nets === 2 ? ["net.f_L", "net.f_H"] : ["net"];
    const made = nets.map((name) => this.makeNet(name));
    this.net = config.num_nets === 2 ? (...streams) => made[streams.length === 3 ? 0 : 1](...streams) : made[0];
  }

  // Add the streams left to right, then run the blocks.
  makeNet(name) {
    const { config, kernels, tensors, h } = this, size = this.rows * config.hidden_size;
    const blocks = Array.from({ length: config.num_layers }, (_, i) =>
      BLOCKS[config.mixer](kernels, config, tensors, `${name}.blocks.${i}`));
    return (...streams) => {
      h.set(add(...streams));
      for (const block of blocks) block(h);
      return h.slice(0, size);
    };
  }

  // Tokens [L] as x: what each cell is to each symbol, or a vector for each prefix position and token.
  embed(tokens) {
    const { config } = this, D = config.hidden_size, L = config.num_cells, scale = Math.sqrt(D);
    const x = new Float32Array(this.rows * D);
    const place = (row, table, index) => {
      for (let i = 0; i < D; i++) x[row * D + i] = scale * table[index * D + i];
    };
    if (this.sharesSymbols) {
      const roles = this.tensors["embed.roles"].data;
      for (let row = 0; row < this.rows; row++) {
        const token = tokens[row % L], symbol = FIRST_SYMBOL + Math.floor(row / L);
        place(row, roles, token < FIRST_SYMBOL ? EMPTY : token === symbol ? THIS : OTHER);
      }
      return x;
    }
    const prefix = this.tensors["embed.prefix"] ?? this.tensors["embed.puzzles"];  // with that, the others are zero
    for (let row = 0; row < prefix.data.length / D; row++) place(row, prefix.data, row);
    const table = this.tensors["embed.tokens"].data;
    for (let cell = 0; cell < L; cell++) place(config.num_prefix + cell, table, tokens[cell]);
    return x;
  }

  // The y and z before the first step: y_init everywhere, and z_init or a random normal z.
  startingState() {
    const { config, rows } = this, D = config.hidden_size;
    const everywhere = (vector) => Float32Array.from({ length: rows * D }, (_, i) => vector[i % D]);
    const y = everywhere(this.tensors.y_init.data), start = this.tensors.z_init.data;
    const count = config.recursion === "multi_z" ? config.n : 1;
    const drawn = config.start === "random" ? randomNormal(count * rows * D, this.seed) : null;
    const latents = Array.from({ length: count }, (_, i) => drawn
      ? drawn.slice(i * rows * D, (i + 1) * rows * D)
      : everywhere(start.subarray(i * D, (i + 1) * D)));
    return [y, config.recursion === "multi_z" ? latents : latents[0]];
  }

  // One supervision step; `net` may be one that notes its calls.
  step(x, y, z, net = this.net) {
    const { config } = this, inner = RECURSIONS[config.recursion];
    const calls = config.damping ? damped(net, config.damping) : net;
    return GRADIENTS[config.gradient](calls, x, y, z, { n: config.n, T: config.T, inner });
  }

  // Logits of every token at every cell, [L, V].
  readAnswer(y) {
    const { config } = this, D = config.hidden_size, L = config.num_cells, V = config.vocab_size;
    const head = this.tensors["output_head.weight"].data, logits = new Float32Array(L * V).fill(IMPOSSIBLE);
    const product = (row, vector) => {
      let sum = 0;
      for (let i = 0; i < D; i++) sum += y[row * D + i] * head[vector * D + i];
      return sum;
    };
    for (let cell = 0; cell < L; cell++) {
      for (let token = this.sharesSymbols ? FIRST_SYMBOL : 0; token < V; token++) {
        logits[cell * V + token] = this.sharesSymbols
          ? product((token - FIRST_SYMBOL) * L + cell, 0) : product(config.num_prefix + cell, token);
      }
    }
    return logits;
  }

  // Logit that the answer is right: read at the mean field, at the largest value of each channel, or at the
  // first position.
  readHalt(y) {
    const D = this.config.hidden_size, weight = this.tensors["halt_head.weight"].data;
    const takesMost = this.config.mixer === "convolution";
    let logit = this.tensors["halt_head.bias"].data[0];
    for (let i = 0; i < D; i++) {
      let summary = y[i];
      for (let row = 1; row < this.rows && (takesMost || this.sharesSymbols); row++) {
        const value = y[row * D + i];
        summary = takesMost ? Math.max(summary, value) : summary + value;
      }
      logit += weight[i] * (this.sharesSymbols ? summary / this.rows : summary);
    }
    return logit;
  }
}

// Softmax of logits [L, V], cell by cell.
function sharesOf(logits, V) {
  const shares = logits.slice();
  softmaxRows(shares, logits.length / V, V, V);
  return shares;
}

// The likeliest token of each cell, [L].
function likeliest(logits, V) {
  return Uint8Array.from({ length: logits.length / V }, (_, cell) => {
    let best = 0;
    for (let token = 1; token < V; token++) if (logits[cell * V + token] > logits[cell * V + best]) best = token;
    return best;
  });
}
