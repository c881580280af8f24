// The search: MiniSearch ranks, under the name of the library that smalldocs.js asks for
(() => {
  'use strict'
  const LITTLE = new Set(('a all an and any are as at be by can could do does for from get has have how i if in into ' +
    'is it its make my not of on or our own so some than that the their them then there these this to use want was ' +
    'we what when where which who why will with you your').split(' '))
  const ALIKE = [['photo', 'photograph', 'image', 'picture'], ['install', 'installation', 'setup', 'pip'],
    ['speed', 'time', 'fast', 'faster', 'seconds', 'slow', 'cost'], ['memory', 'gpu', 'ram', 'cuda'],
    ['change', 'edit', 'replace'], ['prompt', 'caption'], ['error', 'refuse', 'refusal'], ['model', 'checkpoint'],
    ['fail', 'failure', 'wrong', 'bad', 'limit'], ['batch', 'batches', 'many', 'once', 'several']]
  const FIRST = {'reference/questions.html': 2, 'reference/limits.html': 1.6, 'editing.html': 1.5, 'index.html': 1.3}  // answers and knobs
  const LATER = {'api/world.': .15, 'api/': .5, 'world/': .7}  // the names, and how the embedded model is made
  const later = href => LATER[Object.keys(LATER).find(start => href.startsWith(start))] || 1
  const split = text => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []
  const parts = word => word.includes('_') ? word.split('_').filter(Boolean) : []
  const stem = word => word.length > 4 ? word.replace(/(ing|ed|e?s)$/, '') : word
  const alike = word => ALIKE.filter(set => set.map(stem).includes(stem(word))).flat()

  class Search {
    constructor(sections) {
      this.engine = new MiniSearch({
        fields: ['title', 'section', 'text', 'code'], storeFields: ['title', 'section', 'text', 'code', 'href'],
        tokenize: text => split(text).flatMap(word => [word, ...parts(word)]), processTerm: stem,
        searchOptions: {boost: {title: 5, section: 4, text: 1, code: .3}, prefix: word => word.length > 3,
          fuzzy: word => word.length > 4 ? .2 : false, tokenize: split,
          boostDocument: (id, term, e) => (FIRST[e.href.split('#')[0]] || later(e.href)) * (e.section ? 1 : 1.2)}})
      this.engine.addAll(sections)
    }
    // A page or a knob of that name comes first, then what holds more of the words; another word for the same counts half
    search(query, {limit}) {
      const asked = split(query), content = asked.filter(word => !LITTLE.has(word))
      const wanted = (content.length ? content : asked).map(word => [word, ...parts(word), ...alike(word)])
      const weight = Object.fromEntries(wanted.flatMap(set => set.map((word, i) => [stem(word), i ? .5 : 1]).reverse()))
      const any = {combineWith: 'OR', queries: wanted.flat()}
      const found = this.engine.search(any, {boostTerm: term => weight[term] || 1})
      const called = hit => hit.href.includes('#knob-') ? hit.section : hit.section ? null : hit.title
      const named = hit => called(hit)?.toLowerCase() === query.trim().toLowerCase() ? 1 : 0
      const met = (set, hit) => set.some(word => hit.queryTerms.includes(stem(word)))
      const held = hit => named(hit) + wanted.filter(set => met(set, hit)).length
      return found.map(hit => [held(hit), hit]).sort(([n, a], [m, b]) => m - n || b.score - a.score).slice(0, limit)
        .map(([, {title, section, href, ...hit}]) => ({item: {title, section, href, text: around(hit)}}))
    }
  }
  // The place in the prose, or else in the code, where a word that was found stands
  const around = hit => {
    const holds = text => hit.terms.some(term => text.toLowerCase().includes(term))
    const text = [hit.text, hit.code].find(holds) || hit.text
    const at = Math.min(...hit.terms.map(term => text.toLowerCase().indexOf(term)).filter(i => i >= 0), text.length)
    return text.slice(text.lastIndexOf(' ', Math.max(0, Math.min(at, text.length - 1) - 60)) + 1)
  }
  window.Fuse = Search

  // In what is shown of a hit, the words asked for are marked, not letters within others
  const inside = mark => /[\p{L}\p{N}]$/u.test(mark.previousSibling?.data || '')
  const telling = mark => !LITTLE.has(mark.textContent.toLowerCase()) && !inside(mark)
  new MutationObserver(() => document.querySelectorAll('.search-result mark').forEach(
    mark => telling(mark) || mark.replaceWith(mark.textContent))).observe(document, {childList: true, subtree: true})

  // Pages opened as files may not fetch: the index comes as a script
  const fetch = window.fetch
  const script = url => new Promise((done, failed) => {
    const script = document.createElement('script')
    script.src = String(url).replace(/search\.json$/, 'site_libs/searchindex.js')
    script.onload = () => done({json: async () => window.searchIndex})
    script.onerror = failed
    document.head.append(script)
  })
  window.fetch = (url, ...rest) => /(^|\/)search\.json$/.test(url) ? script(url) : fetch(url, ...rest)
})()
