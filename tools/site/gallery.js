// Every edit of the benchmark: a kind and a method are chosen, and all edits stand beside source and truth
(() => {
  'use strict'
  const base = new URL('gallery/', document.currentScript.src)
  const figure = document.querySelector('main figure[data-gallery]')
  if (!figure) return
  const AT_ONCE = 12, BY = ['edits seen', 'kept', 'inside']
  const make = (tag, given = {}, ...inside) => {
    const e = Object.assign(document.createElement(tag), given)
    e.append(...inside)
    return e
  }

  // ---- One picture of a sheet, and the three of an edit
  const picture = (data, name, i, told) => {
    const {across, pairs} = data, down = Math.ceil(pairs.length/across)
    const part = (at, of) => `${of > 1 ? 100*at/(of - 1) : 0}%`
    const e = make('div', {className: 'picture', role: 'img', ariaLabel: told})
    e.style.backgroundImage = `url("${new URL(`${name}.webp`, base)}")`
    e.style.backgroundSize = `${100*across}% ${100*down}%`
    e.style.backgroundPosition = `${part(i % across, across)} ${part(Math.floor(i/across), down)}`
    return e
  }
  const edit = (data, name, i) => {
    const pair = data.pairs[i], method = data.methods[name]
    const shown = [['source', pair.source, 'source'], [name, pair.target, method.label], ['truth', pair.target, 'truth']]
    const there = shown.filter(([sheet]) => !data.missing[sheet]?.includes(i))
    const pictures = there.map(([sheet, told, role]) => make('div', {},
      picture(data, sheet, i, `${role}: ${told}`), make('span', {textContent: role})))
    const values = data.heads.map((head, k) => {
      const [, what, unit] = head.match(/^(.*?)(, [^ ]+)?(?: [↑↓])?$/)
      return `${what} ${method.values[i][k]}${unit ? unit.slice(1) : ''}`.replaceAll(' ', '\u00a0')  // never broken inside
    })
    return make('li', {}, make('div', {className: 'three'}, ...pictures), make('p', {},
      make('strong', {textContent: `${pair.kind}: ${pair.change}`}), make('br'), values.join(' · ')))
  }

  // ---- The choices
  const start = data => {
    const kinds = make('select', {id: 'edit-kind'}, ...Object.keys(data.tables).map(kind => make('option', {}, kind)))
    const ways = ['worst first', 'best first', 'as listed'].map(way => make('option', {}, way))
    const orders = make('select', {id: 'edit-order'}, ...ways)
    const choice = make('p', {}, make('label', {htmlFor: 'edit-kind', textContent: 'Edits of '}), kinds,
      make('label', {htmlFor: 'edit-order', textContent: ' in order: '}), orders)
    const means = make('div'), said = make('p', {ariaLive: 'polite'}), list = make('ul', {className: 'edits'})
    const more = make('button', {type: 'button', className: 'door', textContent: `${AT_ONCE} more`})
    const names = Object.fromEntries(Object.entries(data.methods).map(([name, {label}]) => [label, name]))
    let chosen = Object.keys(data.methods)[0]
    const numbers = () => data.pairs.map((pair, i) => i)
      .filter(i => kinds.selectedIndex === 0 || data.pairs[i].kind === kinds.value)
    let waiting = []
    const add = () => {
      list.append(...waiting.splice(0, AT_ONCE).map(i => edit(data, chosen, i)))
      more.hidden = !waiting.length
    }
    // Worst or best: what the judge has seen, then what was kept, then the distance to the truth inside the edit
    const sorted = all => {
      const rows = data.methods[chosen].values, sign = orders.selectedIndex === 0 ? 1 : -1
      if (orders.selectedIndex === 2) return all
      const number = x => Number.isNaN(parseFloat(x)) ? Infinity*sign : parseFloat(x)  // what was not measured comes last
      const ranks = BY.map(name => data.heads.findIndex(head => head.startsWith(name))).filter(k => k >= 0)
      return [...all].sort((a, b) => {
        const k = ranks.find(j => number(rows[a][j]) !== number(rows[b][j]))
        return k === undefined ? a - b : sign*(number(rows[a][k]) - number(rows[b][k]))
      })
    }
    const show = () => {
      means.querySelectorAll('tbody button').forEach(b => { b.ariaPressed = b.value === chosen })
      waiting = sorted(numbers())
      said.textContent = `${data.methods[chosen].label}: ${waiting.length} edits`
      list.replaceChildren()
      add()
    }
    more.addEventListener('click', () => {
      const at = list.children.length
      add()
      Object.assign(list.children[at], {tabIndex: -1}).focus({preventScroll: true})  // the keyboard goes on from here
    })
    orders.addEventListener('change', show)
    const count = () => {
      means.innerHTML = data.tables[kinds.value]
      sortable(means.querySelector('table'))
      means.querySelectorAll('tbody th').forEach(head => {
        const name = names[head.textContent], button = make('button', {type: 'button', value: name})
        button.append(...head.childNodes)
        button.addEventListener('click', () => { chosen = name; show() })
        head.append(button)
      })
      show()
    }
    kinds.addEventListener('change', count)
    figure.replaceChildren(choice, means, said, list, more)
    count()
    kinds.focus({preventScroll: true})
  }

  // ---- Nothing is fetched before it is asked for; pages opened as files may not fetch, so the facts come as a script
  const button = make('button', {type: 'button', className: 'door', textContent: 'See every edit'})
  button.addEventListener('click', () => {
    button.disabled = true
    button.textContent = 'Loading…'
    const script = make('script', {src: new URL('gallery.js', base)})
    script.onload = () => start(window.galleryData)
    script.onerror = () => {
      button.disabled = false
      button.textContent = 'It could not be loaded: try again'
    }
    document.head.append(script)
  })
  figure.append(button)
})()
