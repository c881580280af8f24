// Inversion and editing as the pages have them, in the reader's browser: the networks are asked through `net`, which
// `nets.js` makes; everything else is here. Latents are flat arrays of numbers (c·h·w), as in the pages `z`, `eps`.
import {alignWords, blendTokens, wordWeights} from './words.js'

// ---- The scheduler

// ᾱ at every time, Stable Diffusion's schedule: the roots of β grow evenly
export function mkAbar({beta_start, beta_end, num_train_timesteps: N}) {
  const [low, high] = [Math.sqrt(beta_start), Math.sqrt(beta_end)], abar = []
  for (let t = 0, left = 1; t < N; t++) {
    left *= 1 - (low + (high - low)*t/(N - 1))**2
    abar.push(left)
  }
  return abar
}

// The share of signal at time `t`; below 0 means the end of the path
export const abarAt = (abar, t) => abar[Math.max(t, 0)]

// The times that T steps visit, as [from, to], from noise to picture
export function ddimPairs({num_train_timesteps: N, steps_offset}, T) {
  const stride = Math.floor(N/T)
  return Array.from({length: T}, (_, i) => (T - 1 - i)*stride + steps_offset).map(t => [t, t - stride])
}

const combine = (a, x, b, y) => x.map((xi, i) => a*xi + b*y[i])   // a·x + b·y
const add = (x, y) => combine(1, x, 1, y)
const subtract = (x, y) => combine(1, x, -1, y)

// The clean latent, if `eps` is the noise in `z_t` (DDIM, eq. 12)
export function predZ0(z_t, eps, abar_t) {
  return combine(1/Math.sqrt(abar_t), z_t, -Math.sqrt((1 - abar_t)/abar_t), eps)
}

// From the time of `abar_t` to that of `abar_s`, either way
export function ddimStep(z_t, eps, abar_t, abar_s) {
  return combine(Math.sqrt(abar_s), predZ0(z_t, eps, abar_t), Math.sqrt(1 - abar_s), eps)
}

// Classifier-free guidance; w = 1 is none
export const guide = (eps_u, eps_c, w) => combine(1 - w, eps_u, w, eps_c)

// ---- Inversion

// The noise of the next step, if the last two lie on a straight line
const carryOn = seen => seen.length < 2 ? seen[0] : combine(2, seen[1], -1, seen[0])

// The path from the picture's latent up to noise, with the noise of the place where each step lands
export async function implicitInvert(net, z0, cond, T, cb) {
  const path = [z0]
  let seen = []
  for (const [i, [t, s]] of ddimPairs(net.schedule, T).reverse().entries()) {
    const here = path.at(-1), ab = [abarAt(net.abar, s), abarAt(net.abar, t)]
    const noise = async z => (await net.unet([z], t, [cond])).eps[0]
    const guess = seen.length ? carryOn(seen) : await noise(here)
    const eps = await noise(ddimStep(here, guess, ...ab))
    path.push(ddimStep(here, eps, ...ab))
    seen = [...seen.slice(-1), eps]
    await cb({stage: 'invert', i, total: T, z: path.at(-1)})
  }
  return path.reverse()   // path[0] is noise, path[T] the picture
}

// Both noises at every place of the path. What a guided step lacks follows from them in closed form: see `residual`
export async function fitResidual(net, path, cond, phi, cb) {
  const T = path.length - 1, noises = []
  let maps = null
  for (const [i, [t]] of ddimPairs(net.schedule, T).entries()) {
    const {eps: [eps_u, eps_c], maps: [, now]} = await net.unet([path[i], path[i]], t, [phi, cond])
    noises.push([eps_u, eps_c])
    maps = maps ? add(maps, now) : now
    await cb({stage: 'fit', i, total: T, z: path[i + 1]})
  }
  return {noises, maps}   // maps (n·h·w): where every word of the caption was seen, summed over the steps
}

export async function invert(net, z0, caption, T, cb) {
  const [cond, phi] = await net.embed([caption, ''])
  const path = await implicitInvert(net, z0, cond, T, cb)
  return {caption, T, cond, phi, path, ...await fitResidual(net, path, cond, phi, cb)}
}

// What step i adds so that the guided step lands on the path
export function residual(net, inv, i, w) {
  const [t, s] = ddimPairs(net.schedule, inv.T)[i]
  const eps = guide(...inv.noises[i], w)
  return subtract(inv.path[i + 1], ddimStep(inv.path[i], eps, abarAt(net.abar, t), abarAt(net.abar, s)))
}

// ---- Where an edit may go

// A word's map (h·w) from those of all tokens (n·h·w)
export function wordMap(maps, tokens, hw) {
  const out = new Float32Array(hw*hw)
  for (const p of tokens) for (let k = 0; k < hw*hw; k++) out[k] += maps[p*hw*hw + k]
  return out
}

// Where a map (h·w) is high, widened by one position
export function blendMask(map, hw, threshold = 0.4) {
  const inside = x => x >= 0 && x < hw
  const wide = map.map((_, k) => {
    const [y, x] = [Math.floor(k/hw), k%hw]
    let most = -Infinity
    for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) {
      if (inside(y + dy) && inside(x + dx)) most = Math.max(most, map[(y + dy)*hw + x + dx])
    }
    return most
  })
  const high = threshold*wide.reduce((a, b) => Math.max(a, b))
  return wide.map(value => value >= high ? 1 : 0)
}

// The mask (h·w), 0 to 1: where the blend words look in source or target, and inside the painted mask
export function localMask(sums, [inSource, inTarget], painted, hw, threshold) {
  const looked = [inSource, inTarget].flatMap((tokens, row) => tokens.length ? [blendMask(wordMap(sums[row], tokens, hw), hw, threshold)] : [])
  const words = looked.length ? looked.reduce((a, b) => a.map((x, k) => Math.max(x, b[k]))) : new Float32Array(hw*hw).fill(1)
  return painted ? words.map((x, k) => x*painted[k]) : words
}

// The edit inside the mask, the source outside
export const blendBack = (z, source, mask) => z.map((x, k) => source[k] + mask[k%mask.length]*(x - source[k]))

// ---- The edit

// `blend` is a phrase or a pair of phrases, `tokens` the same as positions, `painted` a mask (h·w), 0 to 1
export const KNOBS = {kind: 'replace', tauCross: 0.8, tauSelf: 0.4, w: 3, weights: {}, blend: null, tokens: null,
  painted: null, threshold: 0.4}

// How many of T steps a share is; halves go to the even number, as Python's `round`
export function stepsOf(share, T) {
  const x = Math.round(share*T*1e9)/1e9, low = Math.floor(x)
  return x - low === 0.5 ? low + low%2 : Math.round(x)
}

// What the UNet is told of step i: the maps that the edit takes over from the source. Told nothing, it is itself
export function mkControls(net, inv, target, {kind, tauCross, tauSelf, weights}) {
  const {n} = net.tok, {A, own} = alignWords(net.tok, inv.caption, target, kind)
  const free = {A: new Float32Array(n*n), own: new Float32Array(n).fill(1)}
  const factors = wordWeights(net.tok, target, weights)
  return i => ({...(i < stepsOf(tauCross, inv.T) ? {A, own} : free), weights: factors, held: +(i < stepsOf(tauSelf, inv.T))})
}

// Walk the source's path again with the edit beside it (Prompt-to-Prompt, alg. 1). The UNet sees three rows, the source,
// the edit, and the edit under the null text; two where the source's maps are not needed
export async function edit(net, inv, target, knobs, cb) {
  knobs = {...KNOBS, ...knobs}
  const {w, painted, threshold, tauCross, tauSelf} = knobs
  const [cond] = await net.embed([target])
  const controls = mkControls(net, inv, target, knobs)
  const tokens = knobs.tokens ?? blendTokens(net.tok, inv.caption, target, knobs.blend)
  const blends = tokens.some(some => some.length)
  let z = inv.path[0], sums = null, mask = null
  for (const [i, [t, s]] of ddimPairs(net.schedule, inv.T).entries()) {
    const source = blends || i < stepsOf(Math.max(tauCross, tauSelf), inv.T)
    const rows = source ? [inv.path[i], z, z] : [z, z]
    const words = source ? [inv.cond, cond, inv.phi] : [inv.phi, cond]
    const {eps, maps} = await net.unet(rows, t, words, controls(i))
    const noise = guide(source ? eps[2] : eps[0], eps[1], w), abar_s = abarAt(net.abar, s)
    z = add(ddimStep(z, noise, abarAt(net.abar, t), abar_s), residual(net, inv, i, w))
    if (blends) sums = sums ? sums.map((sum, row) => add(sum, maps[row])) : maps
    if (blends || painted) {
      mask = localMask(sums, tokens, painted, net.hw, threshold)
      z = blendBack(z, inv.path[i + 1], mask)
    }
    await cb({stage: 'edit', i, total: inv.T, z, mask, clean: predZ0(z, noise, abar_s)})
  }
  return {z, mask}
}
