// The panel's arithmetic against the library, by `node --test`: NUMBERS is the file of what Python computed, PANEL the
// folder of the site that the panel fetches.
import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {test} from 'node:test'
import {pathToFileURL} from 'node:url'

import {blendMask, ddimPairs, ddimStep, edit, guide, invert, mkAbar, stepsOf} from './engine.js'
import {mkNet, unzipped} from './nets.js'
import {Tokenizer, alignWords, blendTokens, changedTokens, findWords, promptWords, unknownWords, wordWeights} from './words.js'

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

test('alignment, weights, words to blend by', () => {
  for (const {source, target, kind, A, own} of numbers.aligned) {
    const got = alignWords(tok, source, target, kind)
    near(got.A, A.flat(), 1e-6, `${source} → ${target}`)
    near(got.own, own.map(Number), 0, `${source} → ${target}`)
  }
  for (const {prompt, weights, factors} of numbers.weighted) near(wordWeights(tok, prompt, weights), factors, 0)
  for (const {source, target, blend, tokens} of numbers.blends) {
    assert.deepEqual(blendTokens(tok, source, target, blend), tokens)
  }
})

test('where a map is high', () => {
  for (const {map, threshold, mask} of numbers.masks) near(blendMask(Float32Array.from(map), 16, threshold), mask.map(Number), 0)
})

test('what differs, up to its noun', () => {
  const at = (a, b, more) => changedTokens(tok, a, b, more).map((tokens, i) => promptWords(tok, i ? b : a)
    .filter(([, own]) => own.some(p => tokens.includes(p))).map(([word]) => word).join(' '))
  const cat = 'a cat and a red balloon on grass'
  assert.deepEqual(at(cat, 'a dog and a red balloon on grass'), ['cat', 'dog'])
  assert.deepEqual(at(cat, 'a cat and a blue balloon on grass'), ['red balloon', 'blue balloon'])
  assert.deepEqual(at('a cat on grass', 'a golden cat on grass'), ['', 'golden cat'])
  assert.deepEqual(at(cat, cat, {weights: {red: 2}}), ['', 'red balloon'])
  assert.deepEqual(at(cat, `a watercolour of ${cat}`, {styles: facts.words.styles}), ['', ''])
})

test('words that nobody taught the model', () => {
  assert.deepEqual(unknownWords(tok, 'a cat on grass', facts.known), [])
  const [{word, near: [first]}] = unknownWords(tok, 'a pengin on grass', facts.known)
  assert.deepEqual([word, first], ['pengin', 'penguin'])
})

test('whole inversions and edits', async t => {
  const ort = await import(pathToFileURL(join(process.env.PANEL, 'ort.wasm.bundle.min.mjs')))
  ort.env.wasm.numThreads = 1
  ort.env.wasm.wasmBinary = await unzipped(file('ort-wasm-simd-threaded.wasm.gz'))
  const net = await mkNet(ort, facts, async name => file(name))
  for (const {pixels, caption, T, z_T, maps, edits} of numbers.runs) {
    const z0 = await net.encode(Float32Array.from(pixels.flat(2)))
    const inv = await invert(net, z0, caption, T, () => {})
    near(inv.path[0], z_T.flat(2), 5e-2, caption)   // the autoencoder travels in 16 bits
    near(inv.maps, maps.flat(2), 2e-3*T, caption)   // a sum over the steps
    for (const {target, knobs, picture, mask} of edits) {
      const made = await edit(net, inv, target, knobs, () => {})
      const db = psnr(await net.decode(made.z), picture.flat(2))
      t.diagnostic(`${caption} → ${target}: ${db.toFixed(1)} dB`)
      assert.ok(db >= 40, `${target}: ${db} dB`)
      if (mask) assert.ok(made.mask.filter((x, k) => x === mask.flat()[k]).length >= 0.98*256)
    }
  }
})
