// An edit that is free where two captions differ and exact elsewhere, as page Region has it. A `plan` says where it may
// go; `Region` is what the UNet is told of it.
import {checkRegion, onlyLooks, partsOf, weighed, whatChanged} from './captions.js'
import {PromptToPrompt, add, editLoop, stepsOf, wordMap} from './engine.js'
import {bicubic, blocks, byColour, grown, maximum, minimum, ones, outline, planes, ramp, restore, shrunk, sideOf, times,
  widened, zeros} from './masks.js'
import {randn} from './random.js'
import {findWords, hasPhrase} from './words.js'

// ---- Where things are

// Each position's mean of `m` over what it looks at
export function spread(m, looks, power = 1.5) {
  const n = m.length
  return m.map((_, k) => {
    let [sum, all] = [0, 0]
    for (let j = 0; j < n; j++) {
      const share = looks[k*n + j]**power
      sum += share*m[j]
      all += share
    }
    return sum/all
  })
}

// A mask (H·W), 0 to 1, for each phrase of the source's caption
export function findThings(net, inv, phrases) {
  const {maps, looks} = inv.seen, picture = planes(inv.photo)
  const found = phrases.map(phrase => {
    const tokens = findWords(net.tok, inv.caption, phrase)
    return outline(spread(wordMap(maps, tokens, net.hw), looks), picture)
  })
  const taken = found.reduce(add, zeros(net.side))   // colours of one thing do not lead into another
  return found.map(m => {
    const alike = byColour(m, picture)
    return grown(m, m.map((x, k) => +(alike[k] > 0.5 && taken[k] - x < 0.5)))
  })
}

// The cells of the latent that a mask of pixels touches
export const touched = (area, hw, share = 0.05) => shrunk(area, hw).map(x => +(x > share))

// ---- The plan

export class Plan {
  constructor(net) {   // nothing may change
    const cells = zeros(net.hw), pixels = zeros(net.side)
    Object.assign(this, {hw: net.hw, room: cells, stay: cells, held: cells, empty: cells, kept: pixels, pixels})
    Object.assign(this, {outside: [], inside: [], sought: [], whole: false})
  }
  // The edit may go here, too
  allow(area = ones(sideOf(this.kept)), {reach = 0, more = 0, also = []} = {}) {
    const side = sideOf(area), cells = widened(touched(area, this.hw), reach)
    this.stay = maximum(this.stay, cells)
    this.room = maximum(this.room, widened(cells, more))
    for (const name of also) this[name] = maximum(this[name], cells)
    this.pixels = maximum(this.pixels, widened(reach ? blocks(cells, side) : area, Math.round(side/40)))
  }
  // But not on kept things
  spare() {
    const free = touched(this.kept, this.hw, 0.75).map(x => 1 - x)
    for (const name of ['room', 'stay', 'held', 'empty']) this[name] = times(this[name], free)
    this.pixels = this.pixels.map((x, k) => x*(1 - this.kept[k]))
  }
  // What a change needs; `areas` has the source's things by their phrases
  apply(change, areas) {
    if (change.kind === 'replaced') this.allow(areas[change.old], {more: 1})
    if (change.kind === 'look') this.allow(areas[change.old], {also: ['held']})
    if (change.kind === 'removed') this.allow(areas[change.old], {reach: 1, also: ['empty']})
    if (change.kind === 'place') this.allow()
    if (change.kind === 'added') this.room = ones(this.hw)
    if (change.kind === 'style') this.whole = true
    if (change.kind === 'replaced' || change.kind === 'added') this.sought.push(change.new)
  }
}

export function planChanges(net, inv, target, changes) {
  const plan = new Plan(net)
  if (!changes.length) return plan
  const things = text => partsOf(net.tok, text, 'thing').map(part => part.phrase)
  const old = things(inv.caption), gone = changes.map(change => change.old)
  const areas = Object.fromEntries(findThings(net, inv, old).map((area, k) => [old[k], area]))
  for (const change of changes) plan.apply(change, areas)
  plan.outside = old.filter(phrase => things(target).includes(phrase) && !gone.includes(phrase))
  plan.inside = partsOf(net.tok, target, 'place').map(part => part.phrase)
  for (const phrase of plan.outside) plan.kept = maximum(plan.kept, areas[phrase])
  plan.spare()
  if (!plan.whole && !plan.room.some(Boolean)) {
    throw new Error(`beside ${plan.outside.join(', ')} there is no room for “${target}”: paint where it may change`)
  }
  return plan
}

function planWords(net, inv, target, phrases, also) {
  const plan = new Plan(net), old = checkRegion(net.tok, inv.caption, target, phrases).filter(phrase => hasPhrase(net.tok, inv.caption, phrase))
  plan.sought = phrases.filter(phrase => !old.includes(phrase))
  for (const area of findThings(net, inv, old)) plan.allow(area, {also})
  if (plan.sought.length) plan.room = ones(net.hw)
  return plan
}

function planMask(net, mask, also) {
  if (mask.every(x => x === 1)) throw new Error('the paint covers the whole picture: paint less, or let everything change')
  const plan = new Plan(net)
  plan.allow(Float64Array.from(mask), {also})
  return plan
}

// Where an edit may go. `region` is a list of phrases, a mask (H·W), 'all', or nothing: what the captions say
export function planEdit(net, inv, target, region = null, weights = {}) {
  if (region === 'all') return Object.assign(new Plan(net), {whole: true})
  if (!region) return planChanges(net, inv, target, [...whatChanged(net.tok, inv.caption, target), ...weighed(net.tok, inv.caption, target, weights)])
  const also = onlyLooks(net.tok, inv.caption, target) ? ['held'] : []
  return Array.isArray(region) ? planWords(net, inv, target, region, also) : planMask(net, region, also)
}

// ---- The edit

// `renew` is the share of fresh noise inside, `settle` that of the steps until the region is where the new thing stands
export const REGION = {tauCross: 0, renew: 0.8, settle: 0.35, hold: 0.9, seed: 0}

export class Region extends PromptToPrompt {
  constructor(net, inv, target, plan, knobs = {}) {
    knobs = {...REGION, ...knobs}
    super(net, inv, target, {tauSelf: knobs.hold*plan.held.reduce((a, b) => Math.max(a, b)), ...knobs})
    const find = phrase => findWords(net.tok, target, phrase)
    Object.assign(this, {plan, mask: plan.room, seen: null, sought: plan.sought.map(find)})
    this.untilSettled = Math.max(1, stepsOf(knobs.settle, inv.T))
    this.closed = this.close(find)
    this.others = touched(plan.kept, net.hw)
  }
  // Which word must not look where (n·h·w)
  close(find) {
    const {plan, net: {tok: {n}, hw}} = this, size = hw*hw, out = new Float32Array(n*size)
    for (const phrase of plan.outside) for (const p of find(phrase)) out.set(plan.room, p*size)
    if (!plan.inside.length) return out
    const open = new Set([0, ...plan.inside.flatMap(find)])   // 0 is the start token
    for (let p = 0; p < n; p++) if (!open.has(p)) plan.empty.forEach((x, k) => { if (x) out[p*size + k] = 1 })
    return out
  }
  // Part of the noise inside is fresh
  begin(z) {
    const {renew, seed} = this.knobs, noise = randn(z.length, seed), left = Math.sqrt(1 - renew**2)
    return z.map((x, k) => x + this.mask[k%this.mask.length]*(left*x + renew*noise[k] - x))
  }
  told(i) {
    const areas = new Float32Array([this.mask, this.plan.held, this.plan.empty, this.others].flatMap(m => [...m]))
    return {...super.told(i), areas, closed: this.closed}
  }
  // Where the sought phrases look in the edit, as far as it has come
  newThings() {
    const {hw} = this.net
    return this.sought.map(tokens => {
      const m = wordMap(this.seen, tokens, hw), most = m.reduce((a, b) => Math.max(a, b))
      return ramp(Float64Array.from(m, x => x/most), 0.3, 0.5)
    }).reduce(maximum, zeros(hw))
  }
  // Once it is time, the region shrinks to where the new things stand
  afterStep(i, {maps}) {
    this.seen = this.seen ? add(this.seen, maps) : maps
    if (!this.sought.length || i + 1 !== this.untilSettled || i + 1 >= this.inv.T) return
    const found = this.newThings().map(x => +(x > 0.3))
    this.mask = minimum(this.plan.room, maximum(this.plan.stay, found))
    this.seen = null
  }
  // Where the picture may have changed (H·W): where the plan says, and where the new things are
  changedPixels(edited) {
    const {kept, pixels} = this.plan
    return this.sought.reduce((out, tokens) => {
      const fresh = widened(outline(wordMap(this.seen, tokens, this.net.hw), planes(edited)), Math.round(this.net.side/40))
      return maximum(out, fresh.map((x, k) => x*(1 - kept[k])))
    }, pixels)
  }
}

// Free in the plan and exact elsewhere; `ctl` tells what happened
export async function editInPlan(net, inv, target, plan, knobs, cb) {
  inv = {...inv, noises: null}   // no step is brought back onto the path
  const ctl = new Region(net, inv, target, plan, knobs)
  if (!plan.room.some(Boolean)) return {z: inv.path.at(-1), ctl}
  return {z: await editLoop(net, inv, ctl, cb), ctl}
}

// Edit where the captions differ, or in `region`; where that is everywhere, as Prompt-to-Prompt was published
export async function edit(net, inv, target, {region = null, ...knobs} = {}, cb = () => {}) {
  const plan = planEdit(net, inv, target, region, knobs.weights)
  if (!plan.whole) return editInPlan(net, inv, target, plan, knobs, cb)
  return {z: await editLoop(net, inv, new PromptToPrompt(net, inv, target, knobs), cb), ctl: null}
}

// The photograph's own pixels where nothing changed
export async function giveBack(net, inv, edited, ctl) {
  const back = await net.decode(inv.path.at(-1))
  return restore(inv.photo, back, edited, ctl && ctl.changedPixels(edited))
}
