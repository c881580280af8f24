// What the pages do beyond smalldocs: boxes tell that they scroll, and a phone has one bar for everything
(() => {
  'use strict'
  const $ = (what, at = document) => at.querySelector(what)
  const $$ = (what, at = document) => [...at.querySelectorAll(what)]
  const root = document.documentElement

  // ---- A box that holds more than it shows fades at that side, and scrolls by the keyboard
  const look = box => {
    const more = box.scrollWidth - box.clientWidth
    box.classList.toggle('more-left', more > 1 && box.scrollLeft > 1)
    box.classList.toggle('more-right', more > 1 && more - box.scrollLeft > 1)
    if (more > 1) box.tabIndex = 0
  }
  const SCROLLS = 'pre, .sd-table, .scroll, .cell-output-display:not(.cell-output-markdown, :has(> .wide)), ' +
    '.katex-display, .math.display, .figure > p'
  const boxes = () => $$(`main :is(${SCROLLS})`)
  const sizes = new ResizeObserver(seen => seen.forEach(o => look(o.target)))
  boxes().forEach(box => {
    box.addEventListener('scroll', () => look(box), {passive: true})
    sizes.observe(box)
  })
  addEventListener('load', () => boxes().forEach(look))

  // ---- Something to play with has all its pictures before it is reached: hidden ones would come only when shown
  const near = new IntersectionObserver(seen => seen.filter(o => o.isIntersecting).forEach(o =>
    $$('img[loading=lazy]', o.target).forEach(picture => { picture.loading = 'eager' })), {rootMargin: '300px'})
  $$('main figure:has(input, button)').forEach(figure => near.observe(figure))

  // ---- A table of results is sorted by the column whose head is pressed: the best first, then the other way round
  const value = (row, i) => parseFloat(row.cells[i].dataset.v ?? 'NaN')
  const sort = (head, i) => {
    const table = head.closest('table'), body = table.tBodies[0], rows = [...body.rows]
    const first = head.textContent.includes('↓') ? 'ascending' : 'descending'
    const other = {ascending: 'descending', descending: 'ascending'}
    const order = other[head.ariaSort] || first, sign = order === 'ascending' ? 1 : -1
    const known = rows.filter(row => !Number.isNaN(value(row, i)))
    known.sort((a, b) => sign*(value(a, i) - value(b, i)))
    body.append(...known, ...rows.filter(row => !known.includes(row)))
    $$('th', table.tHead).forEach(th => { th.ariaSort = th === head ? order : null })
  }
  const sortable = table => $$('thead th', table).forEach((head, i) => {
    if (![...table.tBodies[0].rows].some(row => row.cells[i].dataset.v)) return
    const button = document.createElement('button')
    button.type = 'button'
    button.title = 'Sort by this column'
    button.append(head.firstChild)
    head.prepend(button)
    button.addEventListener('click', () => sort(head, i))
  })
  window.sortable = sortable
  $$('main table.results').forEach(sortable)

  // ---- On a phone a wide table of results shows as many columns as fit beside the first; buttons turn to the next ones
  const phone = matchMedia('(max-width: 575px)'), LEAVES = 48  // no button for what a little scrolling shows
  const FIRST = /^(edits seen|background)/  // whether an edit succeeds, and what it leaves alone: seen first
  const button = (text, label, press) => {
    const made = document.createElement('button')
    Object.assign(made, {type: 'button', textContent: text, onclick: press})
    if (label) made.setAttribute('aria-label', label)
    return made
  }
  const leaf = table => {
    const box = table.parentElement, heads = [...table.tHead.rows[0].cells]
    const bar = document.createElement('p'), told = document.createElement('output')
    let parts = [], at = 0
    const show = () => {
      const part = parts[at]
      for (const row of table.rows) [...row.cells].forEach((cell, i) => { cell.hidden = part && i && !part.includes(i) })
      bar.hidden = !parts.length
      back.disabled = !part || at === 0
      on.disabled = !part || at === parts.length - 1
      told.textContent = part ? `${at + 1} of ${parts.length} · ${heads.length - 1} columns` : `all ${heads.length - 1} columns`
      all.textContent = part ? 'all' : 'fewer'
      box.scrollLeft = 0
      look(box)
    }
    const split = () => {
      const widths = heads.map(head => head.offsetWidth), room = box.clientWidth - widths[0]
      const order = [...widths.keys()].slice(1), found = []
      const later = i => !FIRST.test(heads[i].textContent.trim())
      order.sort((a, b) => later(a) - later(b))
      let left = 0
      order.forEach(i => {
        if (widths[i] > left) { found.push([]); left = room }
        found.at(-1).push(i)
        left -= widths[i]
      })
      return found
    }
    const back = button('‹', 'the columns before', () => { at -= 1; show() })
    const on = button('›', 'the next columns', () => { at += 1; show() })
    const all = button('all', '', () => { at = at < 0 ? 0 : -1; show() })
    const fit = () => {
      parts = []
      at = 0
      show()
      if (!phone.matches || table.scrollWidth - box.clientWidth < LEAVES || !box.clientWidth) return
      parts = split()
      show()
    }
    bar.className = 'leaf'
    bar.append(back, told, on, all)
    box.before(bar)
    fit()
    phone.addEventListener('change', fit)
    let wide = box.clientWidth  // it unfolds, or the phone is turned
    new ResizeObserver(() => { if (box.clientWidth !== wide) { wide = box.clientWidth; fit() } }).observe(box)
  }
  $$('main .scroll > table.results').filter(table => table.tHead).forEach(leaf)

  // ---- The panels beside the text: the site's pages, and this page's contents; on a small screen one opens at a time
  const sidebar = $('#quarto-sidebar'), contents = $('#quarto-margin-sidebar'), glass = $('#quarto-sidebar-glass')
  const top = part => part.getBoundingClientRect().top
  const centre = (panel, item) => { if (item) panel.scrollTop += top(item) - top(panel) - panel.clientHeight/2 }
  const here = panel => $('a.active:not([data-bs-toggle])', panel)
  if (sidebar) centre(sidebar, here(sidebar))
  const menu = $('.quarto-btn-toggle'), list = document.createElement('button')
  const shown = (panel, button, open) => {
    panel.classList.toggle('show', open)
    button.setAttribute('aria-expanded', open)
    glass.classList.toggle('show', $$('#quarto-sidebar.show, #quarto-margin-sidebar.show').length > 0)
    if (!open) return
    centre(panel, here(panel))
    here(panel)?.focus({preventScroll: true})
  }
  const panels = [[sidebar, menu]]
  if (contents && $('#TOC')) {
    list.type = 'button'
    list.className = 'contents-toggle btn'
    list.innerHTML = '<i class="bi bi-list-nested" aria-hidden="true"></i>'
    list.setAttribute('aria-label', 'Contents of this page')
    list.setAttribute('aria-controls', contents.id)
    list.setAttribute('aria-expanded', false)
    $('.navbar-container').append(list)
    list.addEventListener('click', () => shown(contents, list, !contents.classList.contains('show')))
    contents.addEventListener('click', e => e.target.closest('a') && shown(contents, list, false))
    panels.push([contents, list])
  }
  if (sidebar && menu) {
    menu.setAttribute('aria-expanded', false)
    // smalldocs.js has opened it
    menu.addEventListener('click', () => shown(sidebar, menu, sidebar.classList.contains('show')))
    const close = (but = null) => panels.filter(([panel]) => panel !== but && panel.classList.contains('show'))
      .forEach(([panel, button]) => shown(panel, button, false))
    panels.forEach(([panel, button]) => button.addEventListener('click', () => close(panel)))
    glass.addEventListener('click', () => close())
    addEventListener('keydown', e => {
      const open = panels.find(([panel]) => panel.classList.contains('show'))
      if (e.key !== 'Escape' || !open) return
      close()
      open[1].focus()
    })
  }
  $$('#quarto-sidebar [role=button]').forEach(head => head.addEventListener('keydown', e => {
    if (e.key !== 'Enter' && e.key !== ' ') return
    e.preventDefault()
    head.click()
  }))

  // ---- The contents hide from what passes under them, where it can be seen, and only then
  const wide = $$('main .wide'), lists = contents ? [...contents.children] : []
  const hit = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  const hide = () => {
    const boxes = lists.map(part => part.getBoundingClientRect())
    const over = wide.some(block => block.checkVisibility() && boxes.some(box => hit(block.getBoundingClientRect(), box)))
    contents.classList.toggle('under', over)
  }
  if (wide.length && contents) {
    let asked = 0
    const ask = () => { asked ||= requestAnimationFrame(() => { asked = 0; hide() }) }
    addEventListener('scroll', ask, {passive: true})
    new ResizeObserver(ask).observe(document.body)  // what folds and unfolds moves the rest
    ask()
  }

  // ---- What a link leads to is unfolded
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)))
    const folds = $$('main details:not([open])').filter(fold => target && fold.contains(target))
    folds.forEach(fold => { fold.open = true })
    if (folds.length) target.scrollIntoView()
  }
  addEventListener('hashchange', unfold)
  unfold()

  // ---- Light or dark follows the system until the reader chooses
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', e => {
    if (!localStorage.getItem('smalldocs-scheme') && e.matches !== (root.dataset.scheme === 'alternate')) {
      smalldocsToggleScheme()
      localStorage.removeItem('smalldocs-scheme')
    }
  })
})()
