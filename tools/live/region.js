// An edit that is free where two captions differ and exact elsewhere, as page Region has it: a `Plan` says where it may
// go, `Region` what the UNet is told of it.
import {PromptToPrompt, add, editLoop, stepsOf, wordMap} from './engine.js'
import {maximum, minimum, outline, planes, ramp, restore, widened, zeros} from './masks.js'
import {planEdit, touched} from './plan.js'
import {randn} from './random.js'
import {findWords} from './words.js'

// `renew` is the share of fresh noise inside, `settle` that of the steps until the region is where the new thing stands,
// `against` how far the null text goes towards the source's caption where only a look changes
export const REGION = {tauCross: 0, renew: 0.5, settle: 0.35, hold: 0.9, against: 0.5, seed: 0}

export class Region extends PromptToPrompt {
  constructor(net, inv, target, plan, knobs = {}) {
    knobs = {...REGION, ...knobs}
    super(net, inv, target, {tauSelf: knobs.hold*plan.held.reduce((a, b) => Math.max(a, b)), ...knobs})
    const find = phrase => findWords(net.tok, target, phrase)
    Object.assign(this, {plan, mask: plan.room, seen: null, sought: plan.sought.map(find)})
    this.untilSettled = Math.max(1, stepsOf(knobs.settle, inv.T))
    const look = plan.held.every((x, k) => x >= plan.room[k]) && target !== inv.caption
    this.against = look ? knobs.against : 0
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
    const found = widened(this.newThings().map(x => +(x > 0.3)), this.plan.margin)
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
  const ctl = new Region(net, inv, target, plan, knobs), phi = inv.phi.map((x, k) => x + ctl.against*(inv.cond[k] - x))
  inv = {...inv, phi, noises: null}   // no step is brought back onto the path
  if (!plan.room.some(Boolean)) return {z: inv.path.at(-1), ctl}
  return {z: await editLoop(net, inv, ctl, cb), ctl}
}

// Edit where the captions differ, or in `region`; where that is everywhere, as Prompt-to-Prompt was published
export async function edit(net, inv, target, {region = null, ...knobs} = {}, cb = () => {}) {
  const plan = planEdit(net, inv, target, region, knobs.weights)
  if (!plan.whole) return editInPlan(net, inv, target, plan, knobs, cb)
  return {z: await editLoop(net, inv, new PromptToPrompt(net, inv, target, knobs), cb), ctl: null}
}

// The photograph's own pixels where nothing changed; the source is decoded once
export async function giveBack(net, inv, edited, ctl) {
  inv.back ??= await net.decode(inv.path.at(-1))
  return restore(inv.photo, inv.back, edited, ctl && ctl.changedPixels(edited), ctl && ctl.plan.held)
}
