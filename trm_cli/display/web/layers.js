// Blocks of the net: as model/layers.py. A block revises a state in place.
//
// S symbols, P prefix positions, L cells, D channels. A state has rows of D channels: P + L of them, or
// S * L where the mixer keeps one field per symbol. It lies in the memory of the kernels.

const EPSILON = 1e-5;  // added to the mean square before its root, as upstream
const USUAL_MEMBERS = 9;  // of a unit of the usual board, where messages are means
const ROWS_AT_ONCE = 64;  // of a SwiGLU, so that what is between its two maps stays in the cache
const PANEL = 8;  // columns of a matrix that a kernel multiplies together
const PAGE = 65536;  // bytes

const roundUp = (count, multiple) => Math.ceil(count / multiple) * multiple;

// Memory for weights and activations, and what computes in it.
class Kernels {
  constructor(module, numbers) {
    this.memory = new WebAssembly.Memory({ initial: Math.ceil((4 * numbers) / PAGE) });
    this.calls = new WebAssembly.Instance(module, { page: { memory: this.memory } }).exports;
    this.used = 0;
  }

  // An array of float32 numbers in it.
  room(count) {
    const array = new Float32Array(this.memory.buffer, this.used, count);
    this.used += roundUp(4 * count, 16);
    return array;
  }

  // Rows that a kernel may read and write: a multiple of 4.
  rows(count, columns) { return this.room(roundUp(count, 4) * columns); }

  // A linear map without bias, weight [to, from], as the kernels want it: columns in panels, zeros where they end.
  linear(weight, to, from) {
    const columns = roundUp(to, PANEL);
    const linear = { packed: this.room(columns * from), from, to, columns };
    pack(weight, linear);
    return linear;
  }

  // out [rows, columns] = h [rows, from] mapped.
  matmul(h, rows, linear, out) {
    const { packed, from, columns } = linear;
    this.calls.matmul(h.byteOffset, packed.byteOffset, out.byteOffset, roundUp(rows, 4), from, columns);
  }
}

function pack(weight, { packed, from, to, columns }) {
  for (let column = 0; column < columns; column++) {
    const panel = (column - (column % PANEL)) * from + (column % PANEL);
    for (let k = 0; k < from; k++) packed[panel + k * PANEL] = column < to ? weight[column * from + k] : 0;
  }
}

// h = rms_norm(h + update), row by row; an update's rows may be longer than those of h.
function addAndNorm(h, update, rows, columns, stride = columns) {
  for (let row = 0; row < rows; row++) {
    const start = row * columns, from = row * stride;
    let squares = 0;
    for (let i = 0; i < columns; i++) {
      const sum = (h[start + i] += update[from + i]);
      squares += sum * sum;
    }
    const scale = 1 / Math.sqrt(squares / columns + EPSILON);
    for (let i = 0; i < columns; i++) h[start + i] *= scale;
  }
}

// silu(gate) * up, then down; `normalised` is sigmoid(gate) * norm(gate * up). Then h = rms_norm(h + that).
function makeSwiGLU(kernels, tensors, name, glu) {
  const down = tensors[`${name}.down.weight`], gateUp = tensors[`${name}.gate_up.weight`];
  const [size, width] = down.shape, padded = roundUp(width, PANEL);
  const into = kernels.linear(spread(gateUp.data, width, padded, size), 2 * padded, size);
  const back = kernels.linear(widened(down.data, size, width, padded), size, padded);
  const wide = kernels.rows(ROWS_AT_ONCE, 2 * padded), act = kernels.rows(ROWS_AT_ONCE, padded);
  const out = kernels.rows(ROWS_AT_ONCE, back.columns);
  return (h, rows) => {
    for (let first = 0; first < rows; first += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, rows - first), part = h.subarray(first * size, (first + count) * size);
      kernels.matmul(part, count, into, wide);
      if (glu === "normalised") normalisedGate(wide, act, count, width, padded);
      else kernels.calls.silu_times(wide.byteOffset, act.byteOffset, roundUp(count, 4), padded);
      kernels.matmul(act, count, back, out);
      addAndNorm(part, out, count, size, back.columns);
    }
  };
}

// Rows of gate, then rows of up, each of a number that a kernel takes: zeros between the two.
function spread(weight, width, padded, size) {
  const rows = new Float32Array(2 * padded * size);
  rows.set(weight.subarray(0, width * size), 0);
  rows.set(weight.subarray(width * size), padded * size);
  return rows;
}

function widened(weight, rows, width, padded) {
  const wide = new Float32Array(rows * padded);
  for (let row = 0; row < rows; row++) wide.set(weight.subarray(row * width, (row + 1) * width), row * padded);
  return wide;
}

function normalisedGate(wide, act, rows, width, padded) {
  for (let row = 0; row < rows; row++) {
    const gate = 2 * row * padded, up = gate + padded, to = row * padded;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (wide[gate + i] * wide[up + i]) ** 2;
    const scale = 1 / Math.sqrt(squares / width + EPSILON);
    for (let i = 0; i < width; i++) {
      act[to + i] = (wide[gate + i] * wide[up + i] * scale) / (1 + Math.exp(-wide[gate + i]));
    }
  }
}

// to [columns, rows] = from [rows, columns] turned over.
function transpose(from, to, rows, columns) {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) to[column * rows + row] = from[row * columns + column];
  }
}

// A SwiGLU across positions, then one across channels.
function makeMLPBlock(kernels, config, tensors, name) {
  const D = config.hidden_size, positions = config.num_prefix + config.num_cells;
  const tokenMLP = makeSwiGLU(kernels, tensors, `${name}.token_mlp`, config.glu);
  const channelMLP = makeSwiGLU(kernels, tensors, `${name}.channel_mlp`, config.glu);
  const turned = kernels.rows(D, positions);
  return (h) => {
    transpose(h, turned, positions, D);
    tokenMLP(turned, D);
    transpose(turned, h, D, positions);
    channelMLP(h, positions);
  };
}

// Self-attention over all positions, then a SwiGLU across channels.
function makeAttentionBlock(kernels, config, tensors, name) {
  const D = config.hidden_size, positions = config.num_prefix + config.num_cells;
  const heads = config.num_heads, size = D / heads, angles = rotaryAngles(config);
  const qkv = kernels.linear(tensors[`${name}.qkv.weight`].data, 3 * D, D);
  const out = kernels.linear(tensors[`${name}.out.weight`].data, D, D);
  const channelMLP = makeSwiGLU(kernels, tensors, `${name}.channel_mlp`, config.glu);
  const seen = kernels.rows(positions, qkv.columns), joined = kernels.rows(positions, D);
  const mixed = kernels.rows(positions, out.columns);
  const keys = kernels.linear(new Float32Array(positions * size), positions, size);
  const values = kernels.linear(new Float32Array(size * keys.columns), size, keys.columns);
  const query = kernels.rows(positions, size), shares = kernels.rows(positions, keys.columns);
  const answer = kernels.rows(positions, values.columns);

  // Head `head` of q, k or v (`part` 0, 1, 2), [positions, size], turned by the positions' angles.
  function headOf(part, head, turns) {
    const found = new Float32Array(positions * size), half = size / 2;
    for (let row = 0; row < positions; row++) {
      const from = row * qkv.columns + part * D + head * size;
      for (let i = 0; i < size; i++) {
        const value = seen[from + i], other = i < half ? -seen[from + i + half] : seen[from + i - half];
        const angle = turns && angles ? angles[row * half + (i % half)] : 0;
        found[row * size + i] = value * Math.cos(angle) + other * Math.sin(angle);
      }
    }
    return found;
  }

  return (h) => {
    kernels.matmul(h, positions, qkv, seen);
    for (let head = 0; head < heads; head++) {
      query.set(headOf(0, head, true));
      pack(headOf(1, head, true), keys);
      kernels.matmul(query, positions, keys, shares);
      softmaxRows(shares, positions, positions, keys.columns, 1 / Math.sqrt(size));
      const across = new Float32Array(size * positions);
      transpose(headOf(2, head, false), across, positions, size);
      pack(widened(across, size, positions, keys.columns), values);
      kernels.matmul(shares, positions, values, answer);
      for (let row = 0; row < positions; row++) {
        const from = row * values.columns;
        joined.set(answer.subarray(from, from + size), row * D + head * size);
      }
    }
    kernels.matmul(joined, positions, out, mixed);
    addAndNorm(h, mixed, positions, D, out.columns);
    channelMLP(h, positions);
  };
}

// Softmax along rows of so many numbers, scaled before; zeros in what is left of a row.
function softmaxRows(rows, count, columns, stride, scale = 1) {
  for (let row = 0; row < count; row++) {
    const values = rows.subarray(row * stride, row * stride + columns);
    const most = values.reduce((best, value) => Math.max(best, value), -Infinity);
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += values[i] = Math.exp(scale * (values[i] - most));
    for (let i = 0; i < columns; i++) values[i] /= sum;
    rows.fill(0, row * stride + columns, (row + 1) * stride);
  }
}

// Angles in radians, [P + L, size / 2]; null where positions turn nothing.
function rotaryAngles(config) {
  if (config.rotary === "none") return null;
  const half = config.hidden_size / config.num_heads / 2, before = config.num_prefix;
  const counted = Array.from({ length: before + config.num_cells }, (_, position) => [position]);
  const placed = Array.from({ length: config.num_cells }, (_, cell) =>
    [Math.floor(cell / config.width), cell % config.width]);
  const axes = config.rotary === "1d" ? counted : [...Array.from({ length: before }, () => null), ...placed];
  const share = Math.ceil(half / (config.rotary === "1d" ? 1 : 2));
  const angles = new Float32Array(axes.length * half);
  axes.forEach((axis, row) => {
    for (let i = 0; axis && i < half; i++) {
      const frequency = config.rotary_base ** -((i % share) / share);
      angles[row * half + i] = axis[Math.floor(i / share)] * frequency;
    }
  });
  return angles;
}

// Mix cells inside each symbol's field, then fields at each cell, then channels.
function makeEquivariantBlock(kernels, config, tensors, name) {
  const D = config.hidden_size, L = config.num_cells, S = config.num_symbols;
  const tokenMLP = makeSwiGLU(kernels, tensors, `${name}.token_mlp`, config.glu);
  const others = kernels.linear(tensors[`${name}.others.weight`].data, D, D);
  const channelMLP = makeSwiGLU(kernels, tensors, `${name}.channel_mlp`, config.glu);
  const turned = kernels.rows(D, L), rest = kernels.rows(S * L, D), heard = kernels.rows(S * L, others.columns);
  return (h) => {
    for (let s = 0; s < S; s++) {
      const field = h.subarray(s * L * D, (s + 1) * L * D);
      transpose(field, turned, L, D);
      tokenMLP(turned, D);
      transpose(turned, field, D, L);
    }
    const sums = sumOfFields(h, S, L * D);
    for (let i = 0; i < S * L * D; i++) rest[i] = (sums[i % (L * D)] - h[i]) / Math.max(S - 1, 1);
    kernels.matmul(rest, S * L, others, heard);
    addAndNorm(h, heard, S * L, D, others.columns);
    channelMLP(h, S * L);
  };
}

function sumOfFields(h, S, size) {
  const sums = new Float32Array(size);
  for (let i = 0; i < S * size; i++) sums[i % size] += h[i];
  return sums;
}

// Each (symbol, cell) gets messages from its row, column, box and cell, as sums, then mixes channels.
function makeUnitsBlock(kernels, config, tensors, name) {
  const { height, width, box_height, box_width } = config, across = width / box_width;
  const D = config.hidden_size, L = config.num_cells, S = config.num_symbols;
  const unitsOf = Array.from({ length: L }, (_, cell) => {
    const row = Math.floor(cell / width), column = cell % width;
    return [row, column, Math.floor(row / box_height) * across + Math.floor(column / box_width)];
  });
  const counts = [S * height, S * width, S * across * (height / box_height), L];  // rows, columns, boxes, cells
  const means = tensors[`${name}.means.weight`].data.map((value) => value / USUAL_MEMBERS);
  // The order of the weights: row, column, box, cell.
  const maps = counts.map((_, kind) => kernels.linear(columnsOf(means, D, 4 * D, kind * D), D, D));
  const sums = counts.map((count) => kernels.rows(count, D));
  const heard = counts.map((count, kind) => kernels.rows(count, maps[kind].columns));
  const stride = maps[0].columns, update = new Float32Array(S * L * D);
  const channelMLP = makeSwiGLU(kernels, tensors, `${name}.channel_mlp`, config.glu);

  function eachMember(visit) {
    for (let s = 0; s < S; s++) {
      for (let cell = 0; cell < L; cell++) {
        const [row, column, box] = unitsOf[cell];
        const units = [s * height + row, s * width + column, (s * counts[2]) / S + box, cell];
        visit((s * L + cell) * D, units);
      }
    }
  }

  return (h) => {
    for (const sum of sums) sum.fill(0);
    eachMember((at, [row, column, box, cell]) => {
      const [rows, columns, boxes, cells] = sums;
      for (let i = 0; i < D; i++) {
        const value = h[at + i];
        rows[row * D + i] += value;
        columns[column * D + i] += value;
        boxes[box * D + i] += value;
        cells[cell * D + i] += value;
      }
    });
    sums.forEach((sum, kind) => kernels.matmul(sum, counts[kind], maps[kind], heard[kind]));
    eachMember((at, [row, column, box, cell]) => {
      const [rows, columns, boxes, cells] = heard;
      for (let i = 0; i < D; i++) {
        update[at + i] = rows[row * stride + i] + columns[column * stride + i] + cells[cell * stride + i] +
          boxes[box * stride + i];
      }
    });
    addAndNorm(h, update, S * L, D);
    channelMLP(h, S * L);
  };
}

// Columns `first` to `first + count` of a weight [count, width].
function columnsOf(weight, count, width, first) {
  const found = new Float32Array(count * count);
  for (let row = 0; row < count; row++) {
    found.set(weight.subarray(row * width + first, row * width + first + count), row * count);
  }
  return found;
}

// Each cell combines its eight neighbours, one stencil a channel, then mixes channels; beyond the board is 0.
function makeConvolutionBlock(kernels, config, tensors, name) {
  const { height, width } = config, D = config.hidden_size, L = config.num_cells;
  const stencils = new Float32Array(9 * D);  // [3 * 3, D]
  transpose(tensors[`${name}.stencils`].data, stencils, D, 9);
  const mix = kernels.linear(tensors[`${name}.heard.weight`].data, D, D);
  const channelMLP = makeSwiGLU(kernels, tensors, `${name}.channel_mlp`, config.glu);
  const near = kernels.rows(L, D), heard = kernels.rows(L, mix.columns);
  return (h) => {
    near.fill(0);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const to = (row * width + column) * D;
        for (let place = 0; place < 9; place++) {
          const y = row + Math.floor(place / 3) - 1, x = column + (place % 3) - 1;
          if (y < 0 || y >= height || x < 0 || x >= width) continue;
          const from = (y * width + x) * D, stencil = place * D;
          for (let i = 0; i < D; i++) near[to + i] += stencils[stencil + i] * h[from + i];
        }
      }
    }
    kernels.matmul(near, L, mix, heard);
    addAndNorm(h, heard, L, D, mix.columns);
    channelMLP(h, L);
  };
}

const BLOCKS = {
  convolution: makeConvolutionBlock, mlp: makeMLPBlock, attention: makeAttentionBlock,
  equivariant: makeEquivariantBlock, units: makeUnitsBlock,
};
