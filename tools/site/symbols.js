// A symbol of an equation and its name in the code light up together: by pointer, by touch, or by the names below
(() => {
  'use strict'
  const $$ = (what, at = document) => [...at.querySelectorAll(what)]
  const sub = '(?:_(?:\\{\\w\\}|\\w))?'
  // From the names in the code to how the equations write them; longer ones first
  const SYMBOLS = Object.entries({
    z_bar: `\\\\bar z${sub}`, 'pivots pivot': `z\\^\\*${sub}`, 'phi phis': `\\\\varnothing${sub}`, cond: '\\\\mathcal C',
    eps_u: '\\\\epsilon_u', eps_c: '\\\\epsilon_c', eps_theta: '\\\\epsilon_\\\\theta', eps: '(?<!\\\\tilde *)\\\\epsilon(?![_a-z])',
    'abar_t abar': '\\\\bar\\\\alpha_t', abar_s: '\\\\bar\\\\alpha_s', z0: 'z_0', 'z_t z': 'z_(?:\\{[st]\\}|[st])',
    'maps own_maps': 'M_(?:t|\\\\text\\{?\\w+\\}?)', 'tau tau_cross tau_self': '\\\\tau', 'w W': '(?<![\\\\\\w^_{])w(?!\\w)'
  }).map(([names, tex]) => [names.split(' '), tex])
  const any = new RegExp(SYMBOLS.map(([, tex]) => `(${tex})`).join('|'), 'g')
  const key = names => names[0]
  const blocks = $$('main pre code')
  const said = new Set(blocks.flatMap(code => code.textContent.match(/\b[A-Za-z_]\w*\b/g) || []))
  const known = SYMBOLS.filter(([names]) => names.some(name => said.has(name)))

  // ---- Equations: marked before KaTeX sees them, and left as they are where that breaks one
  const marked = tex => tex.replace(any, (found, ...groups) => {
    const symbol = SYMBOLS[groups.slice(0, SYMBOLS.length).findIndex(group => group !== undefined)]
    return known.includes(symbol) ? `\\htmlData{sym=${key(symbol[0])}}{${found}}` : found
  })
  const trust = {trust: context => context.command === '\\htmlData', strict: false}
  const used = new Set()
  const mark = math => {
    const [, open, tex, close] = math.textContent.match(/^(\\[[(])(.*)(\\[\])])$/s) || []
    if (!tex) return
    const better = marked(tex)
    try { katex.renderToString(better, {...trust, throwOnError: true}) } catch { return }
    for (const [, name] of better.matchAll(/sym=(\w+)/g)) used.add(name)
    math.textContent = open + better + close
  }
  if (!window.katex || !known.length) return
  $$('main .math').forEach(mark)
  if (!used.size) return
  const render = window.renderMathInElement
  window.renderMathInElement = (at, options) => render(at, {...options, ...trust})

  // ---- Code: the names that the equations use
  const names = Object.fromEntries(known.flatMap(([names]) => names.map(name => [name, key(names)])))
  const word = new RegExp(`\\b(?:${Object.keys(names).join('|')})\\b`, 'g')
  const wrap = text => {
    const parts = []
    let end = 0
    for (const found of text.data.matchAll(word)) {
      if (!used.has(names[found[0]])) continue
      const span = document.createElement('span')
      span.className = 'sym'
      span.dataset.sym = names[found[0]]
      span.textContent = found[0]
      parts.push(text.data.slice(end, found.index), span)
      end = found.index + found[0].length
    }
    if (parts.length) text.replaceWith(...parts, text.data.slice(end))
  }
  const texts = code => {
    const walk = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = []
    while (walk.nextNode()) if (!walk.currentNode.parentElement.closest('.co, .st')) found.push(walk.currentNode)
    return found
  }
  blocks.flatMap(texts).forEach(wrap)

  // ---- Below an equation: its symbols by their names in the code, as buttons
  const held = () => document.querySelector('.legend [aria-pressed=true]')?.value
  const light = name => $$('[data-sym]').forEach(e => e.classList.toggle('lit', e.dataset.sym === name))
  const hold = name => {
    const on = held() !== name
    $$('.legend button').forEach(b => { b.ariaPressed = on && b.value === name })
    light(held())
  }
  const legend = math => {
    const here = [...new Set([...math.textContent.matchAll(/sym=(\w+)/g)].map(found => found[1]))]
    if (!here.length) return
    const row = document.createElement('div')
    row.className = 'legend'
    row.append('In the code: ', ...here.map(name => {
      const b = Object.assign(document.createElement('button'), {type: 'button', value: name, ariaPressed: false})
      b.textContent = known.find(([names]) => key(names) === name)[0].find(name => said.has(name))
      return b
    }))
    math.closest('p, div')?.after(row)
  }
  $$('main .math.display').forEach(legend)

  // ---- What the reader does
  const at = e => e.target.closest?.('[data-sym]')?.dataset.sym || e.target.closest?.('.legend button')?.value
  const main = document.querySelector('main')
  for (const kind of ['pointerover', 'focusin']) main.addEventListener(kind, e => light(at(e) || held()))
  for (const kind of ['pointerleave', 'focusout']) main.addEventListener(kind, () => light(held()))
  main.addEventListener('click', e => at(e) && hold(at(e)))
})()
