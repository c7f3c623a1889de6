// The recursion of Tiny Recursive Models, in the paper's letters: as model/recursion.py.
//
// x puzzle, y answer, z latent: arrays of one shape. The net is called n times on the latent and once on the
// answer, and all of that T times, in one supervision step. Source: arXiv:2510.04871, figure 3.

function latentRecursion(net, x, y, z, n) {
  for (let i = 0; i < n; i++) z = net(x, y, z);
  y = net(y, z);
  return [y, z];
}

function deepRecursion(net, x, y, z, { n, T, inner = latentRecursion }) {
  for (let i = 0; i < T; i++) [y, z] = inner(net, x, y, z, n);
  return [y, z];
}

// One state that is answer and latent alike, kept as y; z stays as it came.
function singleZ(net, x, y, z, n) {
  for (let i = 0; i < n; i++) y = net(y, x);
  return [net(y), z];
}

// n latents, z[0] to z[n - 1], revised one after the other, each from the sum of all.
function multiZ(net, x, y, z, n) {
  const latents = [...z];
  for (let i = 0; i < n; i++) latents[i] = net(x, y, add(...latents));
  return [net(y, add(...latents)), latents];
}

// As deepRecursion without a gradient: only the last recursion differs, which revises z once more and not n times.
function oneStepGradient(net, x, y, z, { n, T, inner = latentRecursion }) {
  for (let i = 0; i < T - 1; i++) [y, z] = inner(net, x, y, z, n);
  for (let i = 0; i < n - 1; i++) z = net(x, y, z);
  return inner(net, x, y, z, 1);
}

// A net whose updates keep a share of what they replace: z in net(x, y, z), y in net(y, z).
function damped(net, share) {
  return (...streams) => {
    const replaced = streams.length === 3 ? streams[2] : streams[0];
    return net(...streams).map((value, i) => value + share * (replaced[i] - value));
  };
}

function add(first, ...others) {
  const sum = first.slice();
  for (const other of others) for (let i = 0; i < sum.length; i++) sum[i] += other[i];
  return sum;
}

const RECURSIONS = { y_and_z: latentRecursion, single_z: singleZ, multi_z: multiZ };
const GRADIENTS = { recursion: deepRecursion, one_step: oneStepGradient };
