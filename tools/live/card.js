// WebGPU, where the browser has it, for the graphs that every step asks. The card is believed if it says what the
// processor says, and sooner; when it fails, at whatever time, the processor goes on.

// The two builds of the engine; the one for WebGPU can do without it, too
export const BUILDS = {
  wasm: {code: 'ort.wasm.bundle.min.mjs', binary: 'ort-wasm-simd-threaded.wasm.gz'},
  webgpu: {code: 'ort.jspi.bundle.min.mjs', binary: 'ort-wasm-simd-threaded.jspi.wasm.gz'}}

const TOLERANCE = 5e-3   // of the largest number

// Which build to load; `wish` is 'wasm', 'webgpu' or nothing. The one for WebGPU needs a WebAssembly that `waits` for it
export async function choose(wish, gpu = navigator.gpu, waits = 'Suspending' in WebAssembly) {
  if (wish === 'wasm' || !waits) return 'wasm'
  const adapter = await gpu?.requestAdapter().catch(() => null)
  if (!adapter) return 'wasm'
  const software = adapter.info?.isFallbackAdapter   // the processor again
  return software && wish !== 'webgpu' ? 'wasm' : 'webgpu'
}

async function timed(session, inputs) {
  const start = performance.now(), out = await session.run(inputs)
  return [out, performance.now() - start]
}

function checkAlike(got, want) {
  for (const name in want) {
    const a = got[name].data, b = want[name].data, most = b.reduce((x, y) => Math.max(x, Math.abs(y)), 0)
    const alike = b.every((x, k) => Math.abs(a[k] - x) <= TOLERANCE*most)   // false for what is no number
    if (!alike) throw new Error('its numbers differ from the processor’s')
  }
}

export class Card {
  // A card that is `wished` for may be slow; `passed` is called after a trial that went well, `left` with the reason
  // why the card is given up
  constructor(ort, wished, {passed, left}) { Object.assign(this, {ort, wished, passed, left, works: true}) }
  leave(error) {
    if (this.works) this.left(`${error?.message ?? error}`.split('\n')[0])
    this.works = false
  }
  // Both answer the first inputs; the card twice, since its first answer waits for its programs
  async trial(gpu, cpu, inputs) {
    const [want, cpuTime] = await timed(cpu, inputs)
    await gpu.run(inputs)
    const [got, gpuTime] = await timed(gpu, inputs)
    checkAlike(got, want)
    if (gpuTime > cpuTime && !this.wished) throw new Error('it is slower here')
    this.passed()
    return got
  }
  // Runs a graph like the session `cpu`, which the processor has of it
  graph(bytes, cpu) {
    let gpu, tried = false
    const make = () => this.ort.InferenceSession.create(bytes, {executionProviders: ['webgpu']})
    const onCard = async inputs => {
      gpu ??= await make()
      bytes = null   // both have read them
      const out = await (tried ? gpu.run(inputs) : this.trial(gpu, cpu, inputs))
      tried = true
      return out
    }
    const run = async inputs => {
      if (this.works) try { return await onCard(inputs) } catch (error) { this.leave(error) }
      return cpu.run(inputs)
    }
    return {run}
  }
}
