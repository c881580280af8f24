// From a caption to tokens, and from two captions to the columns of attention that one takes over from the other.
// The names are those of the pages: `promptWords`, `findWords` (Attention), `pairWords`, `alignWords`, `wordWeights`
// (Prompt-to-Prompt).

// The caller's mistake, said in words of the caller's own
export class Refused extends Error {}

// ---- Byte-pair encoding, as CLIP does it

// GPT-2's alphabet: a printable character for every byte
const ALPHABET = (() => {
  const out = []
  let odd = 256
  for (let byte = 0; byte < 256; byte++) {
    const plain = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
    out.push(String.fromCharCode(plain ? byte : odd++))
  }
  return out
})()

const PIECES = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu

export class Tokenizer {
  constructor({vocab, merges, n}) {   // of `model.json`; `n` tokens fit into the model
    this.vocab = vocab
    this.n = n
    this.names = Object.keys(vocab)
    this.rank = new Map(merges.map((pair, i) => [pair, i]))
    this.start = vocab['<|startoftext|>']
    this.end = vocab['<|endoftext|>']
  }

  // The parts of one piece of text: the pair that was learnt first is joined first
  join(piece) {
    let parts = [...new TextEncoder().encode(piece)].map(byte => ALPHABET[byte])
    parts[parts.length - 1] += '</w>'
    while (parts.length > 1) {
      const ranks = parts.slice(1).map((part, i) => this.rank.get(`${parts[i]} ${part}`) ?? Infinity)
      const first = Math.min(...ranks)
      if (first === Infinity) break
      const i = ranks.indexOf(first)
      parts.splice(i, 2, parts[i] + parts[i + 1])
    }
    return parts
  }

  // Names of the tokens of `text`, without start and end
  parts(text) {
    const plain = text.normalize('NFC').replace(/\s+/g, ' ').toLowerCase()
    return (plain.match(PIECES) ?? []).flatMap(piece => this.join(piece))
  }

  // `n` numbers: start, tokens, end, and the end again for the rest
  encode(text) {
    const ids = this.parts(text).slice(0, this.n - 2).map(part => this.vocab[part] ?? this.end)
    return [this.start, ...ids, ...Array(this.n - 1 - ids.length).fill(this.end)]
  }
}

const readable = names => {
  const bytes = [...names.join('').replaceAll('</w>', '')].map(letter => ALPHABET.indexOf(letter))
  return new TextDecoder().decode(new Uint8Array(bytes))
}

// ---- Words

// The words of `prompt` and the positions of their tokens: [word, [position, …]], in order
export function promptWords(tok, prompt) {
  const names = tok.parts(prompt).slice(0, tok.n - 2), words = []
  let start = 0
  names.forEach((name, i) => {
    if (!name.endsWith('</w>') && i < names.length - 1) return
    const range = names.slice(start, i + 1)
    words.push([readable(range), range.map((_, k) => start + k + 1)])
    start = i + 1
  })
  return words
}

// Token positions of every place where `phrase` stands in `prompt`
export function findWords(tok, prompt, phrase) {
  const words = promptWords(tok, prompt), want = promptWords(tok, phrase).map(([word]) => word)
  const stands = i => want.length && want.every((word, k) => words[i + k]?.[0] === word)
  const at = words.map((_, i) => i).filter(stands)
  if (!at.length) throw new Refused(`“${phrase}” is not in “${prompt}”: name a word of the caption`)
  return at.flatMap(i => words.slice(i, i + want.length).flatMap(([, tokens]) => tokens))
}

export const hasPhrase = (tok, prompt, phrase) => {
  try { return findWords(tok, prompt, phrase).length > 0 } catch { return false }
}

// ---- Which words of the target stand for which of the source: Python's difflib in a few lines

// The longest run of equal words in two stretches, the first of several: [i, j, length]
function longestRun(a, b, [i0, i1, j0, j1]) {
  let best = [i0, j0, 0]
  for (let i = i0; i < i1; i++) {
    for (let j = j0; j < j1; j++) {
      let k = 0
      while (i + k < i1 && j + k < j1 && a[i + k] === b[j + k]) k++
      if (k > best[2]) best = [i, j, k]
    }
  }
  return best
}

// Stretches [i0, i1, j0, j1, equal?] that cover both lists
export function stretches(a, b, span = [0, a.length, 0, b.length]) {
  const [i0, i1, j0, j1] = span
  if (i0 === i1 && j0 === j1) return []
  const [i, j, k] = longestRun(a, b, span)
  if (!k) return [[...span, false]]
  return [...stretches(a, b, [i0, i, j0, j]), [i, i + k, j, j + k, true], ...stretches(a, b, [i + k, i1, j + k, j1])]
}

const range = (from, to) => Array.from({length: to - from}, (_, i) => from + i)

// Pairs of positions in source and target; one is empty where words come or go
export function pairWords(source, target, kind = 'replace') {
  if (kind === 'replace' && source.length === target.length) return source.map((_, i) => [[i], [i]])
  return stretches(source, target).flatMap(([i0, i1, j0, j1, equal]) => {
    const old = range(i0, i1), now = range(j0, j1)
    if (!equal && old.length && now.length && kind === 'refine') return [[old, []], [[], now]]
    if (old.length === now.length) return old.map((i, k) => [[i], [now[k]]])
    return [[old, now]]
  })
}

// ---- The columns of the target's attention (Prompt-to-Prompt, sec. 3.2)

// `A` (n·n, row by row): share of each source token in each target token; `own` (n): 1 where the target keeps its own
export function alignWords(tok, source, target, kind = 'replace') {
  const n = tok.n, A = new Float32Array(n*n), own = new Float32Array(n).fill(1)
  const src = promptWords(tok, source), tgt = promptWords(tok, target)
  const put = (s, t, share) => s.forEach(i => t.forEach(j => { A[i*n + j] = share }))
  // words; a new one keeps its own map
  for (const [old, now] of pairWords(src.map(([w]) => w), tgt.map(([w]) => w), kind)) {
    if (!old.length) continue
    const s = old.flatMap(i => src[i][1])
    for (const j of now) {
      const t = tgt[j][1]
      t.forEach(p => { own[p] = 0 })
      if (now.length === 1 && s.length === t.length) s.forEach((p, k) => put([p], [t[k]], 1))
      else put(s, t, 1/(now.length*t.length))
    }
  }
  // the start token, the end token and the padding
  const end = words => words.length ? words.at(-1)[1].at(-1) + 1 : 1
  const s = range(end(src), n), t = range(end(tgt), n), m = Math.min(s.length, t.length) - 1
  put([0], [0], 1)
  for (let k = 0; k < m; k++) put([s[k]], [t[k]], 1)
  put(s.slice(m), t.slice(m), 1/(t.length - m))
  own[0] = 0
  t.forEach(p => { own[p] = 0 })
  return {A, own}
}

// One factor per token of `prompt`; `weights` is from word to factor
export function wordWeights(tok, prompt, weights = {}) {
  const out = new Float32Array(tok.n).fill(1)
  for (const [word, x] of Object.entries(weights)) findWords(tok, prompt, word).forEach(p => { out[p] = x })
  return out
}

// ---- Words that the model has never seen

const distance = (a, b) => {   // of Levenshtein
  let row = range(0, b.length + 1)
  for (const [i, x] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, y] of [...b].entries()) next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + (x !== y)))
    row = next
  }
  return row.at(-1)
}

const LITTLE = 'the with of is are has his her its my to for from by'.split(' ')   // they stand for nothing that is seen

// The words of `prompt` that are not among `known`, each with up to three that look like a slip of it
export function unknownWords(tok, prompt, known) {
  const all = promptWords(tok, prompt).map(([word]) => word), given = [...known, ...LITTLE]
  const strange = all.filter(word => /\p{L}/u.test(word) && !given.includes(word))
  return strange.map(word => {
    const near = known.map(other => [distance(word, other), other]).filter(([d]) => d <= Math.min(2, Math.floor(word.length/4)))
    return {word, near: near.sort(([a], [b]) => a - b).slice(0, 3).map(([, other]) => other)}
  })
}
