// All names: what is written in the box is looked for in the names, in what they do and in their modules
(() => {
  'use strict'
  const $$ = (what, at = document) => [...at.querySelectorAll(what)]
  const make = (tag, given = {}) => Object.assign(document.createElement(tag), given)
  const list = document.querySelector('#from-a-to-z'), letters = $$('details', list)
  const rows = $$('tbody tr', list).map(row => [row, row.textContent.toLowerCase()])
  const box = make('input', {id: 'filter', type: 'search', className: 'form-control', autocomplete: 'off',
    placeholder: 'For example: region mask'})
  const said = make('output', {htmlFor: 'filter'})
  const label = make('label', {htmlFor: 'filter', textContent: `Find one of ${rows.length} names`})
  const form = make('div', {className: 'filter'})
  form.append(label, box, said)

  const look = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean)
    rows.forEach(([row, text]) => { row.hidden = !words.every(word => text.includes(word)) })
    const left = letter => $$('tbody tr:not([hidden])', letter).length
    letters.forEach(letter => { letter.hidden = !left(letter); letter.open = words.length > 0 && left(letter) > 0 })
    $$('main section.level2').forEach(part => { part.hidden = words.length > 0 && part !== list })
    const found = rows.filter(([row]) => !row.hidden)
    said.textContent = words.length ? `${found.length} of ${rows.length}` : ''
  }
  box.addEventListener('input', look)
  box.addEventListener('keydown', e => {
    if (e.key === 'Escape') { box.value = ''; look() }
    if (e.key === 'Enter') list.querySelector('tbody tr:not([hidden]) a')?.click()
  })
  document.querySelector('main section.level2').before(form)
})()
