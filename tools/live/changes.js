// What two captions say differently, as page What two captions say differently has it.
import {Refused, hasPhrase, promptWords, stretches} from './words.js'

const set = text => new Set(text.split(' '))
const ARTICLES = set('a an the'), STOPS = set(', . ; :'), JOINS = set('and with next to beside')   // between things
const PLACE_WORDS = set('on in at under over behind inside outside near by before during underwater indoors outdoors')

// The things, places and styles of a caption: {kind, words, phrase, noun}
export function captionParts(words) {
  const runs = [['thing']]
  words.forEach((word, i) => {
    const run = runs.at(-1), kind = run[0], articleIn = n => words.slice(i + 1, i + 1 + n).some(w => ARTICLES.has(w))
    if (STOPS.has(word) || (JOINS.has(word) && (kind !== 'place' || articleIn(2)))) runs.push(['thing'])
    else if (ARTICLES.has(word) && kind !== 'place') runs.push(['thing'])
    else if (PLACE_WORDS.has(word)) runs.push(['place', word])
    else if (word === 'of' && kind === 'thing' && articleIn(1)) run[0] = 'style'
    else run.push(word)
  })
  const part = ([kind, ...run]) => ({kind, words: run, phrase: run.join(' '), noun: run.at(-1)})
  return runs.filter(run => run.length > 1).map(part)
}

export const partsOf = (tok, prompt, kind) => captionParts(promptWords(tok, prompt).map(([word]) => word)).filter(part => part.kind === kind)

// Which thing stands for which; null where one comes or goes
function pairThings(old, now) {
  if (old.length === now.length) return old.map((part, i) => [part, now[i]])
  const nouns = parts => parts.map(part => part.noun)
  return stretches(nouns(old), nouns(now)).flatMap(([i0, i1, j0, j1]) =>
    Array.from({length: Math.max(i1 - i0, j1 - j0)}, (_, k) => [i0 + k < i1 ? old[i0 + k] : null, j0 + k < j1 ? now[j0 + k] : null]))
}

function changeOf(old, now) {
  if (!old) return {kind: 'added', old: '', new: now.phrase}
  if (!now) return {kind: 'removed', old: old.phrase, new: ''}
  return {kind: old.noun === now.noun ? 'look' : 'replaced', old: old.phrase, new: now.phrase}
}

// What the captions say differently: {kind, old, new}, of which kinds there are 'replaced', 'look', 'added', 'removed',
// 'place' and 'style'
export function whatChanged(tok, source, target) {
  const both = kind => [source, target].map(text => partsOf(tok, text, kind))
  const pairs = pairThings(...both('thing')), out = []
  for (const kind of ['style', 'place']) {
    const [old, now] = both(kind).map(parts => parts.map(part => part.phrase).join(' '))
    if (old !== now) out.push({kind, old, new: now})
  }
  const kept = pairs.some(([old, now]) => old && now && old.noun === now.noun)
  if (!kept && out.some(change => change.kind === 'place')) {
    throw new Refused(`nothing of “${source}” is kept in “${target}”: name what stays in both, or let everything change`)
  }
  return [...out, ...pairs.filter(([old, now]) => old?.phrase !== now?.phrase).map(pair => changeOf(...pair))]
}

// What weights change: the thing, the place or the style to which a weighted word belongs
export function weighed(tok, source, target, weights = {}) {
  const moved = set(Object.keys(weights).filter(word => weights[word] !== 1).join(' '))
  return [['thing', 'look'], ['place', 'place'], ['style', 'style']].flatMap(([kind, name]) => {
    const there = partsOf(tok, source, kind).map(part => part.phrase)
    const both = partsOf(tok, target, kind).filter(part => there.includes(part.phrase) && part.words.some(word => moved.has(word)))
    return both.map(({phrase}) => ({kind: name, old: phrase, new: phrase}))
  })
}

// Do the captions differ in looks alone?
export function onlyLooks(tok, source, target) {
  try {
    const changes = whatChanged(tok, source, target)
    return changes.length > 0 && changes.every(change => change.kind === 'look')
  } catch { return false }
}

// The phrases, unless there are none, or one is in neither caption
export function checkRegion(tok, source, target, phrases) {
  if (!phrases.length) throw new Refused('no words say where: name some, or let everything change')
  for (const phrase of phrases) {
    if (!hasPhrase(tok, source, phrase) && !hasPhrase(tok, target, phrase)) {
      throw new Refused(`“${phrase}” is in neither caption, “${source}” nor “${target}”: name words of one`)
    }
  }
  return phrases
}
