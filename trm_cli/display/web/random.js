// Numbers drawn as torch draws them on a CPU, so that a random start of z is the one of the command line.

// Mersenne Twister (Matsumoto, Nishimura 1998): 32 random bits at a time.
function makeTwister(seed) {
  const SIZE = 624, SHIFT = 397, state = new Uint32Array(SIZE);
  let at = SIZE;
  state[0] = seed >>> 0;
  for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;

  function refill() {
    for (let i = 0; i < SIZE; i++) {
      const both = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  }

  return () => {
    if (at === SIZE) refill();
    let bits = state[at++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  };
}

// `count` numbers from a unit normal (Box, Muller 1958), sixteen at a time, as torch.randn of that seed; 16 or more.
function randomNormal(count, seed) {
  const next = makeTwister(seed), uniform = () => (next() & 0xffffff) / 0x1000000;
  const numbers = Float32Array.from({ length: count }, uniform);
  for (let first = 0; first + 16 <= count; first += 16) toNormal(numbers, first);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) numbers[i] = uniform();
    toNormal(numbers, count - 16);
  }
  return numbers;
}

function toNormal(numbers, first) {
  for (let i = first; i < first + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - numbers[i])), angle = 2 * Math.PI * numbers[i + 8];
    numbers[i] = radius * Math.cos(angle);
    numbers[i + 8] = radius * Math.sin(angle);
  }
}
