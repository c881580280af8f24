// Inversion and editing as the pages have them, in the reader's browser: the networks are asked through `net`, which
// `nets.js` makes; everything else is here. Latents are flat arrays of numbers (c·h·w), as in the pages `z`, `eps`.
import {alignWords, wordWeights} from './words.js'

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
export const add = (x, y) => combine(1, x, 1, y)
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

// Shares of the path at which the library looks for things in the picture
const AT = [0.5, 0.75, 0.9]

// Both noises at every place of the path. What a guided step lacks follows from them in closed form: see `residual`.
// `maps` (n·h·w) is where every word of the caption was seen, summed over the steps; `seen` has the maps of words and of
// the picture at three of them, their mean
export async function fitResidual(net, path, cond, phi, cb) {
  const T = path.length - 1, noises = [], at = AT.map(share => Math.floor(share*T)), seen = {maps: null, looks: null}
  let maps = null
  const mean = (old, now) => (old ?? new Float32Array(now.length)).map((x, k) => x + now[k]/AT.length)
  for (const [i, [t]] of ddimPairs(net.schedule, T).entries()) {
    const {eps, ...now} = await net.unet([path[i], path[i]], t, [cond, phi])
    noises.push(eps)
    maps = maps ? add(maps, now.maps) : now.maps
    for (const name in seen) if (at.includes(i)) seen[name] = mean(seen[name], now[name])
    await cb({stage: 'fit', i, total: T, z: path[i + 1]})
  }
  return {noises, maps, seen}
}

// `photo` is the picture's pixels (3·H·W), 0 to 1
export async function invert(net, photo, caption, T, cb) {
  const [cond, phi] = await net.embed([caption, '']), z0 = await net.encode(photo)
  const path = await implicitInvert(net, z0, cond, T, cb)
  return {caption, T, photo, cond, phi, path, ...await fitResidual(net, path, cond, phi, cb)}
}

// What step i adds so that the guided step lands on the path
export function residual(net, inv, i, w) {
  const [t, s] = ddimPairs(net.schedule, inv.T)[i], [eps_c, eps_u] = inv.noises[i]
  const eps = guide(eps_u, eps_c, w)
  return subtract(inv.path[i + 1], ddimStep(inv.path[i], eps, abarAt(net.abar, t), abarAt(net.abar, s)))
}

// ---- The edit

// A word's map (h·w) from those of all tokens (n·h·w)
export function wordMap(maps, tokens, hw) {
  const out = new Float32Array(hw*hw)
  for (const p of tokens) for (let k = 0; k < hw*hw; k++) out[k] += maps[p*hw*hw + k]
  return out
}

// The edit inside the mask, the source outside
export const blendBack = (z, source, mask) => z.map((x, k) => source[k] + mask[k%mask.length]*(x - source[k]))

// How many of T steps a share is; halves go to the even number, as Python's `round`
export function stepsOf(share, T) {
  const x = Math.round(share*T*1e9)/1e9, low = Math.floor(x)
  return x - low === 0.5 ? low + low%2 : Math.round(x)
}

export const KNOBS = {kind: 'replace', tauCross: 0.8, tauSelf: 0.4, w: 3, weights: {}}

// What the UNet is told at every step: the maps that the edit takes over from the source. Told nothing, it is itself
export class PromptToPrompt {
  constructor(net, inv, target, knobs = {}) {
    this.knobs = {...KNOBS, ...knobs}
    const {kind, tauCross, tauSelf, weights} = this.knobs
    Object.assign(this, {net, inv, target, mask: null}, alignWords(net.tok, inv.caption, target, kind))
    this.weights = wordWeights(net.tok, target, weights)
    this.untilCross = stepsOf(tauCross, inv.T)
    this.untilSelf = stepsOf(tauSelf, inv.T)
  }
  // Are the source's maps needed?
  needsSource(i) { return i < Math.max(this.untilCross, this.untilSelf) }
  told(i) {
    const {A, own, weights} = this, words = i < this.untilCross ? {A, own} : {}
    return {...words, weights, held: +(i < this.untilSelf)}
  }
  begin(z) { return z }
  afterStep() {}
}

// Walk the source's path again with the edit beside it (Prompt-to-Prompt, alg. 1). The UNet sees three rows, the source,
// the edit, and the edit under the null text; two where the source's maps are not needed
export async function editLoop(net, inv, ctl, cb) {
  const [cond] = await net.embed([ctl.target]), {w} = ctl.knobs
  let z = ctl.begin(inv.path[0])
  for (const [i, [t, s]] of ddimPairs(net.schedule, inv.T).entries()) {
    const source = ctl.needsSource(i)
    const rows = source ? [inv.path[i], z, z] : [z, z]
    const words = source ? [inv.cond, cond, inv.phi] : [cond, inv.phi]
    const {eps, ...seen} = await net.unet(rows, t, words, ctl.told(i))
    const [eps_c, eps_u] = eps.slice(-2), noise = guide(eps_u, eps_c, w), abar_s = abarAt(net.abar, s)
    z = ddimStep(z, noise, abarAt(net.abar, t), abar_s)
    if (inv.noises) z = add(z, residual(net, inv, i, w))
    ctl.afterStep(i, seen)
    if (ctl.mask) z = blendBack(z, inv.path[i + 1], ctl.mask)
    await cb({stage: 'edit', i, total: inv.T, z, clean: predZ0(z, noise, abar_s)})
  }
  return z
}
