// The networks of the embedded model, which `python -m nulltext_nb.app.export` wrote, behind the names of page Pipeline.
import {mkAbar} from './engine.js'
import {Tokenizer} from './words.js'

export const NETS = ['text', 'encoder', 'decoder', 'unet']
const ON_CARD = ['decoder', 'unet']   // what steps ask

export const graphFile = name => `${name}.onnx.apart.gz`

export async function unzipped(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes   // some servers unzip on the way
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

// The file whose even bytes stand before its odd ones
export function together(bytes) {
  const whole = new Uint8Array(bytes.length), evens = Math.ceil(bytes.length/2)
  for (let i = 0; i < evens; i++) whole[2*i] = bytes[i]
  for (let i = evens; i < bytes.length; i++) whole[2*(i - evens) + 1] = bytes[i]
  return whole
}

// `ort` is onnxruntime-web, `facts` what stands in `model.json`, `read` gives the bytes of a file by its name; `card` is
// one of `card.js`, or nothing
export async function mkNet(ort, facts, read, card) {
  const {tokenizer, schedule, latent: [c, hw], side, width} = facts
  const tok = new Tokenizer(tokenizer), n = tok.n
  const sessions = {}
  for (const name of NETS) {
    const bytes = together(await unzipped(await read(graphFile(name))))
    const session = await ort.InferenceSession.create(bytes, {executionProviders: ['wasm']})
    sessions[name] = card && ON_CARD.includes(name) ? card.graph(bytes, session) : session
  }
  const real = (values, ...dims) => new ort.Tensor('float32', values, dims)
  const whole = (values, ...dims) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims)
  const stack = (rows, ...dims) => {
    const all = new Float32Array(rows.length*rows[0].length)
    rows.forEach((row, i) => all.set(row, i*row.length))
    return real(all, rows.length, ...dims)
  }
  const split = (all, size) => Array.from({length: all.length/size}, (_, i) => all.slice(i*size, (i + 1)*size))
  const nothing = {A: new Float32Array(n*n), own: new Float32Array(n).fill(1), weights: new Float32Array(n).fill(1), held: 0,
    areas: new Float32Array(4*hw*hw), closed: new Float32Array(n*hw*hw)}

  return {
    tok, schedule, abar: mkAbar(schedule), hw, side,
    // The embeddings of `prompts`, (n·d) each
    async embed(prompts) {
      const {cond} = await sessions.text.run({ids: whole(prompts.flatMap(text => tok.encode(text)), prompts.length, n)})
      return split(cond.data, n*width)
    },
    // The latent (c·h·w) of a picture's pixels (3·H·W), 0 to 1
    async encode(pixels) { return (await sessions.encoder.run({image: real(pixels, 1, 3, side, side)})).z0.data },
    // And back
    async decode(z0) { return (await sessions.decoder.run({z0: real(z0, 1, c, hw, hw)})).image.data },
    // The noise in every row at time `t`, under its words; and in the edit, or the first row of two, where every word looks,
    // `maps` (n·h·w), and where the picture does, `looks` (hw·hw)
    async unet(rows, t, words, controls = {}) {
      const {A, own, weights, held, areas, closed} = {...nothing, ...controls}
      const {eps, maps, looks} = await sessions.unet.run({
        z: stack(rows, c, hw, hw), t: whole([t], 1), cond: stack(words, n, width),
        A: real(A, 1, n, n), own: real(own, 1, n), weights: real(weights, 1, n), held: real([held], 1),
        areas: real(areas, 4, hw, hw), closed: real(closed, n, hw, hw)})
      return {eps: split(eps.data, c*hw*hw), maps: maps.data, looks: looks.data}
    }
  }
}
