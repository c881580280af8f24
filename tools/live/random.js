// PyTorch's normal numbers for a seed, so that the fresh noise of an edit is the same here and there.

// The Mersenne Twister: 32 random bits at every call
function mersenne(seed) {
  const N = 624, state = new Uint32Array(N)
  state[0] = seed
  for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i
  const twist = () => {
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1)%N] & 0x7fffffff)
      state[i] = state[(i + 397)%N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
  }
  let at = N
  return () => {
    if (at === N) {
      twist()
      at = 0
    }
    let y = state[at++]
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }
}

// `torch.randn(size, generator=torch.Generator().manual_seed(seed))` on a CPU, for a size that 16 divides
export function randn(size, seed) {
  const bits = mersenne(seed), out = Float32Array.from({length: size}, () => (bits() & 0xffffff)/2**24)
  for (let i = 0; i < size; i += 16) {
    for (let j = i; j < i + 8; j++) {   // Box and Muller
      const radius = Math.sqrt(-2*Math.log(1 - out[j])), angle = 2*Math.PI*out[j + 8]
      out[j] = radius*Math.cos(angle)
      out[j + 8] = radius*Math.sin(angle)
    }
  }
  return out
}
