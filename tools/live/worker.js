// The panel's worker: the model lives here, so that the page never waits. One job at a time: any message, even one that
// brings no job, ends the one that runs before its next step.
import {BUILDS, Card, choose} from './card.js'
import {invert, wordMap} from './engine.js'
import {NETS, graphFile, mkNet, unzipped} from './nets.js'
import {thingsOf} from './plan.js'
import {edit, giveBack} from './region.js'
import {Refused, promptWords, unknownWords} from './words.js'

const PREVIEW = 4   // steps from one preview to the next

class Stopped extends Error {}
class Lost extends Error {}   // nothing of this worker can be used
let wanted = 0       // the job that may run
let loading = null   // the promise of the model
let inv = null       // the last inversion
let line = Promise.resolve()

const said = (id, kind, what = {}) => postMessage({id, kind, ...what})
const pause = () => new Promise(go => setTimeout(go))   // lets a message in

async function mayGoOn(id) {
  await pause()
  if (id !== wanted) throw new Stopped()
}

// The bytes of a file of the model; `tick` hears of every part that has come
async function fetched(name, size, version, tick) {
  const answer = await fetch(new URL(`${name}?${version}`, import.meta.url)).catch(() => null)
  if (!answer?.ok) throw new Error(`${name} cannot be fetched (${answer ? answer.status : 'no network'}): try again`)
  const parts = [], reader = answer.body.getReader(), short = new Error(`${name} came cut short: try again`)
  const next = () => reader.read().catch(() => { throw short })
  for (let part = await next(); !part.done; part = await next()) {
    parts.push(part.value)
    tick(part.value.length)
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer())
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b
  if (zipped && bytes.length !== size) throw short
  return bytes
}

async function load(id, {facts, wish}) {
  const engine = await choose(wish), build = BUILDS[engine], sizes = facts.files
  const needed = [build.binary, ...NETS.map(graphFile)]
  const all = needed.reduce((sum, name) => sum + sizes[name], 0)
  let done = 0
  const tick = bytes => said(id, 'loading', {done: done += bytes, all})
  const read = name => fetched(name, sizes[name], facts.version, tick)
  const ort = await import(`./${build.code}`).catch(() => { throw new Lost(`${build.code} cannot be fetched: try again`) })
  const {wasm} = ort.env
  ort.env.logLevel = 'error'   // that the processor keeps what is small is meant
  wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1
  wasm.wasmBinary ??= await unzipped(await read(build.binary))
  const tell = line => said(id, 'engine', {engine, line})
  const here = `WebAssembly, ${wasm.numThreads === 1 ? 'one thread' : `${wasm.numThreads} threads`}`
  tell(engine === 'webgpu' ? 'WebGPU, on trial' : here)
  const hear = {passed: () => tell('WebGPU'), left: why => tell(`${here}. WebGPU is not used: ${why}`)}
  return mkNet(ort, facts, read, engine === 'webgpu' ? new Card(ort, wish === 'webgpu', hear) : null)
}

const jobs = {
  async invert(id, {pixels, caption, T, ...what}) {
    const {facts} = what, net = await model(id, what)
    inv = null
    const cb = async ({stage, i, total}) => {
      said(id, 'step', {i: stage === 'invert' ? i : total + i, total: 2*total})
      await mayGoOn(id)
    }
    inv = await invert(net, pixels, caption, T, cb)
    const at = tokens => wordMap(inv.maps, tokens, net.hw)
    const words = promptWords(net.tok, caption).map(([word, tokens]) => ({word, map: at(tokens)}))
    said(id, 'done', {words, hw: net.hw, unknown: unknownWords(net.tok, caption, facts.known)})
    await mayGoOn(id)
    thingsOf(net, inv)   // while the reader reads; an edit asks for them first
  },

  async edit(id, {target, knobs, ...what}) {
    const {facts} = what, net = await model(id, what)
    if (!inv) throw new Error('invert a picture first')
    const cb = async ({i, total, clean}) => {
      const preview = i%PREVIEW === 1 ? await net.decode(clean) : null
      said(id, 'step', {i, total, preview})
      await mayGoOn(id)
    }
    const {z, ctl} = await edit(net, inv, target, knobs, cb)
    const picture = await giveBack(net, inv, await net.decode(z), ctl)
    said(id, 'done', {picture, mask: ctl?.mask, unknown: unknownWords(net.tok, target, facts.known)})
  }
}

// The model, loaded once; what went wrong is tried again at the next press
const model = (id, what) => loading ??= load(id, what).catch(error => {
  loading = null
  throw error
})

// After these the engine cannot be trusted: the panel ends this worker, and the next press starts another one
const outOfMemory = error => error instanceof RangeError || /memory|alloc/i.test(`${error?.message ?? error}`)

function failed(id, error) {
  if (error instanceof Refused) return said(id, 'failed', {why: error.message, fatal: false})
  if (outOfMemory(error)) return said(id, 'failed', {why: 'there is not enough memory: close other pages and invert again', fatal: true})
  said(id, 'failed', {why: `${error?.message ?? error}`, fatal: error instanceof WebAssembly.RuntimeError || error instanceof Lost})
}

async function run({id, job, ...what}) {
  if (id !== wanted) return said(id, 'stopped')
  try { await jobs[job](id, what) } catch (error) {
    if (error instanceof Stopped) said(id, 'stopped')
    else failed(id, error)
  }
}

onmessage = ({data}) => {
  wanted = data.id
  if (data.job) line = line.then(() => run(data))
}
