// All names: what is written in the box is looked for in the names, then in their modules and in what they do
(() => {
  'use strict'
  const $$ = (what, at = document) => [...at.querySelectorAll(what)]
  const make = (tag, given = {}) => Object.assign(document.createElement(tag), given)
  const list = document.querySelector('#from-a-to-z'), letters = $$('details', list)
  const rows = $$('tbody tr', list).map(row => {
    const [name, told, module] = [...row.cells].map(cell => cell.textContent.trim().toLowerCase())
    return {row, home: row.parentElement, name, told, module}
  })
  const flat = list.querySelector('.sd-table').cloneNode(true), found = flat.querySelector('tbody')
  const box = make('input', {id: 'filter', type: 'search', className: 'form-control', autocomplete: 'off',
    placeholder: 'For example: load inversion'})
  const said = make('output', {htmlFor: 'filter'})
  const label = make('label', {htmlFor: 'filter', textContent: `Find one of ${rows.length} names`})
  const form = make('div', {className: 'filter'})
  form.append(label, box, said)

  // How far a word is from a name: the name itself or a method, one of its words, within it, its module, its docstring
  const far = ({name, told, module}, word) => {
    const parts = name.split(/[._]+/)
    const ways = [name === word || name.endsWith(`.${word}`), parts.includes(word),
      parts.some(part => part.startsWith(word)), name.includes(word), module.includes(word), told.includes(word)]
    const way = ways.indexOf(true)
    return way < 0 ? Infinity : way
  }
  const rank = (entry, words) => words.reduce((sum, word) => sum + far(entry, word), 0)

  const look = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean), asked = words.length > 0
    rows.forEach(({row, home}) => home.append(row))
    const ranked = asked ? rows.map(entry => [rank(entry, words), entry.row]).filter(([n]) => n < Infinity) : []
    found.replaceChildren(...ranked.sort(([n], [m]) => n - m).map(([, row]) => row))
    if (ranked.length) list.append(flat)
    else flat.remove()
    ;[...letters, list.querySelector('h2')].forEach(e => { e.hidden = asked })
    $$('main section.level2').forEach(part => { part.hidden = asked && part !== list })
    said.textContent = asked ? `${ranked.length} of ${rows.length}` : ''
  }
  box.addEventListener('input', look)
  box.addEventListener('keydown', e => {
    if (e.key === 'Escape') { box.value = ''; look() }
    if (e.key === 'Enter') found.querySelector('a')?.click()
  })
  document.querySelector('main section.level2').before(form)
})()
