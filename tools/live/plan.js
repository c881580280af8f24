// Where things are, and where an edit may go, as pages Where a thing is and The plan of an edit have it.
import {checkRegion, onlyLooks, partsOf, weighed, whatChanged} from './changes.js'
import {add, wordMap} from './engine.js'
import {blocks, byColour, grown, maximum, ones, outline, planes, shrunk, sideOf, times, widened, zeros} from './masks.js'
import {Refused, findWords, hasPhrase} from './words.js'

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

// All things of the source's caption by their phrases; they are sought once
export function thingsOf(net, inv) {
  const phrases = partsOf(net.tok, inv.caption, 'thing').map(part => part.phrase)
  const pairs = () => findThings(net, inv, phrases).map((area, k) => [phrases[k], area])
  return inv.things ??= Object.fromEntries(pairs())
}

// The cells of the latent that a mask of pixels touches
export const touched = (area, hw, share = 0.05) => shrunk(area, hw).map(x => +(x > share))

// ---- The plan

export class Plan {
  constructor(net) {   // nothing may change
    const cells = zeros(net.hw), pixels = zeros(net.side)
    Object.assign(this, {hw: net.hw, room: cells, stay: cells, held: cells, empty: cells, kept: pixels, pixels})
    Object.assign(this, {outside: [], inside: [], sought: [], margin: 0, whole: false})
  }
  // The edit may go here, too
  allow(area = ones(sideOf(this.kept)), {reach = 0, more = 0, also = []} = {}) {
    const side = sideOf(area), cells = widened(touched(area, this.hw), reach)
    this.stay = maximum(this.stay, cells)
    this.room = maximum(this.room, widened(cells, more))
    for (const name of also) this[name] = maximum(this[name], cells)
    const rim = also.includes('held') ? 1/128 : 1/40   // of the height: a look ends where its thing ends
    this.pixels = maximum(this.pixels, widened(reach ? blocks(cells, side) : area, Math.round(rim*side)))
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
    if (change.kind === 'added') Object.assign(this, {room: ones(this.hw), margin: 1})   // its maps end before it does
    if (change.kind === 'style') this.whole = true
    if (change.kind === 'replaced' || change.kind === 'added') this.sought.push(change.new)
  }
}

export function planChanges(net, inv, target, changes) {
  const plan = new Plan(net)
  if (!changes.length) return plan
  const areas = thingsOf(net, inv), gone = changes.map(change => change.old)
  const wanted = partsOf(net.tok, target, 'thing').map(part => part.phrase)
  for (const change of changes) plan.apply(change, areas)
  plan.outside = Object.keys(areas).filter(phrase => wanted.includes(phrase) && !gone.includes(phrase))
  plan.inside = partsOf(net.tok, target, 'place').map(part => part.phrase)
  for (const phrase of plan.outside) plan.kept = maximum(plan.kept, areas[phrase])
  plan.spare()
  if (!plan.whole && !plan.room.some(Boolean)) {
    throw new Refused(`beside ${plan.outside.join(', ')} there is no room for “${target}”: paint where it may change`)
  }
  return plan
}

function planWords(net, inv, target, phrases, also) {
  const plan = new Plan(net), old = checkRegion(net.tok, inv.caption, target, phrases).filter(phrase => hasPhrase(net.tok, inv.caption, phrase))
  plan.sought = phrases.filter(phrase => !old.includes(phrase))
  for (const area of findThings(net, inv, old)) plan.allow(area, {also})
  if (plan.sought.length) Object.assign(plan, {room: ones(net.hw), margin: 1})
  return plan
}

function planMask(net, mask, also) {
  if (mask.every(x => x === 1)) throw new Refused('the paint covers the whole picture: paint less, or let everything change')
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
