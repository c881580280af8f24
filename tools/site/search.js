// The search: which sections hold what is asked for, the best page first, and where in the text it stands
(() => {
  'use strict'
  const LITTLE = new Set(('a all an and any are as at be by can could do does for from get has have how i if in into ' +
    'is it its make me my not of on or our own so some than that the their them then there these this to use want ' +
    'was we what when where which who why will with work works you your').split(' '))
  const ALIKE = [['photo', 'photograph', 'image', 'picture'], ['install', 'installation', 'setup', 'pip'],
    ['speed', 'time', 'fast', 'faster', 'quick', 'seconds', 'slow', 'cost', 'long'], ['memory', 'gpu', 'ram', 'cuda', 'vram'],
    ['change', 'edit', 'replace'], ['prompt', 'caption'], ['error', 'refuse', 'refusal', 'raise'],
    ['model', 'checkpoint', 'weights'], ['fail', 'failure', 'wrong', 'bad', 'limit', 'problem'],
    ['batch', 'batches', 'many', 'once', 'several', 'multiple'], ['remove', 'removal', 'erase', 'delete'],
    ['command', 'terminal', 'cli', 'shell'], ['compare', 'comparison', 'versus', 'vs', 'benchmark'],
    ['save', 'store', 'load'], ['strength', 'weight', 'stronger'], ['quality', 'psnr', 'fidelity'], ['scale', 'guidance'],
    ['apple', 'mps', 'metal', 'device']]
  const FIRST = {'reference/questions.html': 2, 'reference/limits.html': 1.6, 'editing.html': 2, 'index.html': 1.3,
    'reference/photo.html': 1.3, 'solvers.html': 1.3}  // answers and knobs
  const LATER = {'api/world.': .1, 'api/': .2, 'world/': .7, 'lab/': .7, 'app/': .7}  // lessons before names and studies
  const DOORS = {  // where to go for what is asked in other words than the pages use; of several, most words win
    'index.html#ten-lines': ['start', 'begin', 'beginner', 'hello', 'example', 'usage', 'tutorial'],
    'app/live.html': ['browser', 'playground', 'online', 'try'],
    'index.html#citation': ['cite', 'bibtex', 'paper'],
    'index.html': ['contribute', 'contributing', 'github', 'source code', 'report issue', 'bug'],
    'reference/photo.html': ['own', 'upload', 'my picture', 'my photo', 'disconnect'],
    'reference/questions.html#which-models-work': ['stable diffusion', 'sd', 'turbo', 'xl', 'lightning'],
    'reference/questions.html#where-does-it-run': ['mac', 'm1', 'm2', 'windows', 'linux', 'macos'],
    'reference/questions.html#how-good-must-my-caption-be': ['caption long', 'prompt long', 'tokens 77', 'good caption'],
    'reference/limits.html': ['not work', 'blur', 'blurry', 'ghost', 'artifact', 'artefact', 'bad result', 'ugly'],
    'reference/limits.html#strong-guidance': ['garish', 'saturated', 'oversaturated'],
    'inversion.html#guidance': ['cfg', 'classifier', 'guidance'],
    'region.html': ['delete', 'object remove', 'recolor', 'recolour'],
    'editing.html#what-it-does': ['paint', 'painting', 'sketch', 'drawing', 'artistic', 'restyle', 'style transfer'],
    'editing.html#where-said-by-hand': ['inpaint', 'brush', 'paint mask', 'own mask'],
    'editing.html#one-that-is-not-square': ['size', 'resolution', 'aspect', 'square', 'multiple size'],
    'editing.html#a-call-after-every-step': ['callback'],
    'editing.html#many-at-once': ['batch'],
    'api/editing.html#edit': ['edit function', 'edit parameters', 'edit arguments'],
    'api/index.html': ['api', 'function', 'parameters', 'reference', 'names'],
    'world/training.html': ['train', 'finetune', 'tune model'],
    'world/data.html': ['dataset', 'training data'],
    'solvers.html': ['speed up', 'faster inversion']}
  const BASE = 5  // times the score for every word that is held
  const page = href => href.split('#')[0]
  const weigh = href => FIRST[page(href)] || LATER[Object.keys(LATER).find(start => href.startsWith(start))] || 1
  const split = text => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []
  const joined = text => (text.toLowerCase().match(/\p{L}+(-\p{L}+)+/gu) || []).map(word => word.replaceAll('-', ''))
  const parts = word => word.includes('_') && word !== 'nulltext_nb' ? word.split('_').filter(Boolean) : []
  const stem = word => word.length > 4 ? word.replace(/(ing|ed|e?s)$/, '') : word
  const alike = word => ALIKE.filter(set => set.map(stem).includes(stem(word))).flat()
  const same = (a, b) => a.toLowerCase() === b.toLowerCase()

  window.SiteSearch = class {
    constructor(sections) {
      this.all = sections
      this.names = sections.filter(s => s.kind === 'name')
      this.engine = new MiniSearch({
        fields: ['title', 'section', 'text', 'code'], storeFields: ['title', 'section', 'text', 'href', 'kind'],
        tokenize: text => [...split(text).flatMap(word => [word, ...parts(word)]), ...joined(text)], processTerm: stem,
        searchOptions: {boost: {title: 5, section: 4, text: 1, code: .2}, tokenize: split,
          boostDocument: (id, term, e) => weigh(e.href)*({page: 1.2, knob: 1.5}[e.kind] || 1)*
            (e.section.startsWith('check_') ? .5 : 1)}})
      this.engine.addAll(sections)
    }
    // The sections for a query, those with more of its words first; another word for the same counts less
    sections(query) {
      const asked = split(query), content = asked.filter(word => !LITTLE.has(word))
      const wanted = (content.length ? content : asked).map(word => [word, ...parts(word), ...alike(word)])
      const weight = Object.fromEntries(wanted.flatMap(set => set.map((word, i) => [stem(word), i ? .5 : 1]).reverse()))
      const ask = fuzzy => this.engine.search({combineWith: 'OR', queries: wanted.flat()},
        {boostTerm: term => weight[term] || 1, prefix: word => word.length > 3, fuzzy})
      const met = (set, hit) => {
        const at = set.findIndex(word => hit.queryTerms.includes(stem(word)))
        return at < 0 ? 0 : at ? .8 : 1
      }
      let found = ask(false)
      const unknown = wanted.filter(set => !found.some(hit => met(set, hit))).flat().map(stem)
      if (unknown.length) found = ask(word => unknown.includes(word) && (word.length > 6 ? 2 : word.length > 3 && 1))
      const inTitle = (set, hit) => {
        if (hit.href.startsWith('api/')) return 0
        const words = [...split(hit.title), ...joined(hit.title)].map(stem), at = set.findIndex(word => words.includes(stem(word)))
        return at < 0 ? 0 : at ? .2 : .4
      }
      const within = text => ` ${split(text).join(' ')} `.includes(` ${asked.join(' ')} `)
      const phrase = hit => wanted.length > 1 && within(hit.text)*(asked.length > 2 ? 2 : 1)
      const headed = hit => wanted.length > 1 && hit.kind === 'part' && within(hit.section)
      const called = hit => hit.kind === 'knob' ? hit.section : hit.kind === 'page' ? hit.title : ''
      const held = hit => same(stem(called(hit)), stem(query.trim())) + phrase(hit) + headed(hit) +
        wanted.reduce((sum, set) => sum + met(set, hit) + inTitle(set, hit), 0)
      return found.map(hit => [hit.score*BASE**held(hit), hit]).sort(([a], [b]) => b - a).map(([, hit]) => hit)
    }
    // Names of the code that are exactly what is asked for: `edit`, `Inversion.save`; of `save()` the methods, too
    named(query) {
      const name = query.trim().replace(/\(\)?$/, '')
      const code = name !== query.trim() || /[_.]/.test(name)  // not a word of the language
      const ends = s => same(s.section, name) ? 0 : code && same(s.section.split('.').pop(), name) ? 1 : 2
      const found = this.names.filter(s => ends(s) < 2)
      return found.sort((a, b) => (b.section === name) - (a.section === name) || ends(a) - ends(b)).slice(0, 2)
    }
    // The section behind the door of which most words are asked for, or none
    door(query) {
      const asked = split(query).map(stem)
      const held = words => split(words).every(word => asked.includes(stem(word))) && split(words).length
      const best = Object.entries(DOORS).map(([href, all]) => [Math.max(...all.map(held)), href]).sort(([a], [b]) => b - a)[0]
      return best[0] ? this.all.find(s => s.href === best[1]) : undefined
    }
    // [{title, href, hits}]: names first, then pages with the best of their sections
    find(query, limit = 8) {
      const groups = new Map(), names = this.named(query), seen = new Set(names.map(s => s.href))
      const door = this.door(query)
      const all = [...(door ? [{...door, terms: split(query).map(stem)}] : []), ...this.sections(query)
        .filter(hit => hit.href !== door?.href)]
      for (const hit of all.filter(hit => !seen.has(hit.href))) {
        const group = groups.get(page(hit.href)) || {title: hit.title, href: page(hit.href), hits: []}
        if (group.hits.length < 3) group.hits.push(hit)
        groups.set(group.href, group)
      }
      const exact = names.map(s => ({title: s.section, href: s.href, name: true, where: s.title,
        hits: [{...s, terms: [], kind: 'page'}]}))
      return [...exact, ...groups.values()].slice(0, limit)
    }
  }

  // The sentence in which a word that was found stands: [text, is it marked?], in order
  window.SiteSearch.snippet = ({text, terms}, length = 160) => {
    const marked = word => terms.some(term => stem(word.toLowerCase()).startsWith(term))
    const words = [...text.matchAll(/[\p{L}\p{N}_]+/gu)]
    const at = words.find(m => marked(m[0]))?.index || 0
    const start = at < length/2 ? 0 : Math.max(text.lastIndexOf('. ', at) + 2, text.indexOf(' ', at - length/2) + 1)
    const end = text.length - start > length ? text.lastIndexOf(' ', start + length) : text.length
    const shown = text.slice(start, Math.max(end, start + 1))
    const pieces = shown.split(/([\p{L}\p{N}_]+)/u).map(piece => [piece, /^[\p{L}\p{N}_]+$/u.test(piece) && marked(piece)])
    return [...(start ? [['… ', false]] : []), ...pieces, ...(end < text.length ? [[' …', false]] : [])]
  }
})()
