// The panel's arithmetic against the library, by `node --test`: NUMBERS is the file of what Python computed, PANEL the
// folder of the site that the panel fetches.
import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {test} from 'node:test'
import {pathToFileURL} from 'node:url'

import {Card, choose} from './card.js'
import {weighed, whatChanged} from './changes.js'
import {ddimPairs, ddimStep, guide, invert, mkAbar, stepsOf} from './engine.js'
import {guidedFilter, outline, planes, restore, widened} from './masks.js'
import {mkNet, together, unzipped} from './nets.js'
import {findThings} from './plan.js'
import {randn} from './random.js'
import {edit, giveBack} from './region.js'
import {captionOf, drawScene} from './scene.js'
import {STYLES} from './styles.js'
import {Tokenizer, alignWords, findWords, promptWords, unknownWords, wordWeights} from './words.js'

const file = name => readFileSync(join(process.env.PANEL, name))
const facts = JSON.parse(file('model.json')), numbers = JSON.parse(readFileSync(process.env.NUMBERS))
const tok = new Tokenizer(facts.tokenizer)

const near = (a, b, tol, what = '') => {
  assert.equal(a.length, b.length, `${what}: lengths`)
  const worst = a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0)
  assert.ok(worst <= tol, `${what}: largest difference ${worst}, allowed ${tol}`)
}
// Peak signal to noise of pictures between 0 and 1, in dB
const psnr = (a, b) => -10*Math.log10(a.reduce((sum, x, i) => sum + (x - b[i])**2, 0)/a.length)

test('the schedule and the times', () => {
  near(mkAbar(facts.schedule), numbers.abar, 1e-5)
  for (const [T, pairs] of numbers.pairs) assert.deepEqual(ddimPairs(facts.schedule, T), pairs)
  for (const [share, T, steps] of numbers.rounded) assert.equal(stepsOf(share, T), steps)
})

test('bytes that stood apart', () => {
  for (const [apart, whole] of [['', ''], ['a', 'a'], ['acbd', 'abcd'], ['acebd', 'abcde']])
    assert.equal(Buffer.from(together(Buffer.from(apart))).toString(), whole)
})

test('a step, and guidance', () => {
  const {z, eps, eps_u, w, abar_t, abar_s, there, guided} = numbers.step
  near(ddimStep(Float32Array.from(z), eps, abar_t, abar_s), there, 1e-5)
  near(guide(Float32Array.from(eps_u), eps, w), guided, 1e-5)
  near(ddimStep(ddimStep(Float64Array.from(z), eps, abar_t, abar_s), eps, abar_s, abar_t), z, 1e-9)
})

test('tokens and words', () => {
  for (const {text, ids, words} of numbers.texts) {
    assert.deepEqual(tok.encode(text), ids, text)
    assert.deepEqual(promptWords(tok, text), words, text)
  }
  assert.throws(() => findWords(tok, 'a cat', 'dog'), /not in/)
})

test('alignment and weights', () => {
  for (const {source, target, kind, A, own} of numbers.aligned) {
    const got = alignWords(tok, source, target, kind)
    near(got.A, A.flat(), 1e-6, `${source} → ${target}`)
    near(got.own, own.map(Number), 0, `${source} → ${target}`)
  }
  for (const {prompt, weights, factors} of numbers.weighted) near(wordWeights(tok, prompt, weights), factors, 0)
})

test('what captions say differently', () => {
  for (const {source, target, changes, weights, weighed: moved} of numbers.captions) {
    if (changes) assert.deepEqual(whatChanged(tok, source, target), changes)
    else assert.throws(() => whatChanged(tok, source, target), /nothing of/)
    assert.deepEqual(weighed(tok, source, target, weights), moved)
  }
})

test('noise', () => { for (const {seed, noise} of numbers.noise) near(randn(noise.length, seed), noise, 1e-5) })

test('masks', () => {
  const given = Object.fromEntries(Object.entries(numbers.masks).map(([name, x]) => [name, Float64Array.from(x)]))
  const {m, p, photo, back, edited} = given, picture = planes(photo)
  near(guidedFilter(picture, p, 8), given.guided, 1e-4, 'guided filter')
  near(outline(m, picture), given.outline, 2e-3, 'outline')
  near(widened(p, 3), given.widened, 0, 'widened')
  const clipped = held => restore(photo, back, edited, p, held).map(x => Math.min(1, Math.max(0, x)))
  near(clipped(null), given.restored, 3e-3, 'restore')
  near(clipped(m), given.recoloured, 3e-3, 'restore where a look changed')
})

test('scenes that are made', t => {
  const light = picture => picture.map(x => x/255)
  const split = (x, n) => Array.from({length: n}, (_, c) => Float64Array.from(x.slice(c*x.length/n, (c + 1)*x.length/n)))
  for (const {ground, things, chance, words, join, place, style, caption, plain, picture} of numbers.made) {
    assert.equal(captionOf(words, join, place, style), caption)
    const standing = things.map(({drawing, ...at}) => ({drawing: split(drawing, 4), ...at})), free = split(chance, 4)
    const drawn = psnr(drawScene(split(ground, 4), standing, style, free), light(picture))
    t.diagnostic(`${caption}, drawn: ${drawn.toFixed(1)} dB`)
    assert.ok(drawn >= (style ? 30 : 40), `${caption}: ${drawn} dB`)
    if (!style) continue
    const styled = STYLES[style](split(plain, 3), free)
    const same = psnr(light(styled.flatMap(plane => [...plane])), light(picture))
    t.diagnostic(`${style} alone: ${same.toFixed(1)} dB`)
    assert.ok(same >= 40, `${style}: ${same} dB`)
  }
})

test('words that nobody taught the model', () => {
  assert.deepEqual(unknownWords(tok, 'a cat on grass', facts.known), [])
  const [{word, near: [first]}] = unknownWords(tok, 'a pengin on grass', facts.known)
  assert.deepEqual([word, first], ['pengin', 'penguin'])
  assert.deepEqual(unknownWords(tok, 'a cat with a hat', facts.known), [{word: 'hat', near: []}])
})

test('which build of the engine', async () => {
  const some = async () => ({info: {}}), none = async () => null, ill = async () => { throw new Error('no card') }
  const software = async () => ({info: {isFallbackAdapter: true}})
  const build = (requestAdapter, wish, waits = true) => choose(wish, requestAdapter && {requestAdapter}, waits)
  for (const there of [null, none, ill, software]) assert.equal(await build(there), 'wasm')
  for (const wish of [null, 'webgpu', 'else']) assert.equal(await build(some, wish), 'webgpu')
  assert.equal(await build(software, 'webgpu'), 'webgpu')
  assert.deepEqual([await build(some, 'wasm'), await build(some, 'webgpu', false)], ['wasm', 'wasm'])
})

test('a card that fails, and one that works', async () => {
  const answer = (x, time = 0, most = Infinity) => {
    let left = most
    const run = async () => {
      if (!left--) throw new Error('the device is lost')
      await new Promise(go => setTimeout(go, time))
      return {eps: {data: Float32Array.of(1, x)}}
    }
    return {run}
  }
  const sick = new Error('no device'), [wrong, slow, lost] = ['its numbers differ', 'it is slower', 'the device is lost']
  const cases = [[answer(0.501, 0), 20, null], [answer(0.52, 0), 20, wrong], [answer(NaN, 0), 20, wrong],
    [answer(0.5, 40), 0, slow], [answer(0.5, 0, 3), 20, lost], [sick, 20, 'no device']]
  for (const [gpu, time, why] of cases) {
    const create = async () => { if (gpu === sick) throw sick; return gpu }
    const heard = [], left = line => heard.push(line)
    const card = new Card({InferenceSession: {create}}, false, {passed() {}, left})
    const graph = card.graph(null, answer(0.5, time))
    for (let i = 0; i < 3; i++) assert.ok(Math.abs((await graph.run()).eps.data[1] - 0.5) < 2e-3)
    assert.deepEqual([card.works, heard.length], [!why, why ? 1 : 0])
    if (why) assert.ok(heard[0].startsWith(why), heard[0])
  }
  let passed = 0
  const patient = new Card({InferenceSession: {create: async () => answer(0.5, 40)}}, true, {passed: () => passed++, left: assert.fail})
  await patient.graph(null, answer(0.5)).run()
  assert.equal(passed, 1)
})

test('whole inversions and edits', async t => {
  const ort = await import(pathToFileURL(join(process.env.PANEL, 'ort.wasm.bundle.min.mjs')))
  ort.env.wasm.numThreads = 1
  ort.env.wasm.wasmBinary = await unzipped(file('ort-wasm-simd-threaded.wasm.gz'))
  const net = await mkNet(ort, facts, async name => file(name))
  const alike = (a, b) => a.filter((x, k) => Math.abs(x - b[k]) < 0.5).length/b.length
  for (const {pixels, caption, T, z_T, back, things, edits} of numbers.runs) {
    const inv = await invert(net, Float32Array.from(pixels), caption, T, () => {})
    near(inv.path[0], z_T, 5e-2, caption)   // the autoencoder travels in 16 bits
    const same = psnr(await net.decode(inv.path.at(-1)), back)
    t.diagnostic(`${caption}: ${same.toFixed(1)} dB`)
    assert.ok(same >= 40, `${caption}: ${same} dB`)
    const found = findThings(net, inv, things.map(({phrase}) => phrase))
    things.forEach(({phrase, mask}, i) => assert.ok(alike(found[i], mask) >= 0.98, `${phrase}: ${alike(found[i], mask)}`))
    for (const {target, knobs, picture, mask} of edits) {
      const painted = Array.isArray(knobs.region) && knobs.region.every(x => typeof x === 'number')
      const region = painted ? Float32Array.from(knobs.region) : knobs.region
      const {z, ctl} = await edit(net, inv, target, {...knobs, region})
      const db = psnr(await giveBack(net, inv, await net.decode(z), ctl), picture)
      t.diagnostic(`${caption} → ${target}: ${db.toFixed(1)} dB`)
      assert.ok(db >= 40, `${target}: ${db} dB`)
      if (mask) assert.ok(alike(ctl.mask, mask) >= 0.98, `${target}: mask`)
    }
  }
})
