// The box of the search, in the place of smalldocs' own: pages with their sections, by pointer and by keys
(() => {
  'use strict'
  const up = new URL('..', document.currentScript.src)
  const make = (tag, given = {}, ...inside) => {
    const e = Object.assign(document.createElement(tag), given)
    e.append(...inside)
    return e
  }

  // ---- Pages opened as files may not fetch: the index comes as a script, when it is first needed
  let coming = null
  const engine = () => coming ||= new Promise((done, failed) => {
    const script = make('script', {src: new URL('site_libs/searchindex.js', up)})
    script.onload = () => done(new SiteSearch(window.searchIndex))
    script.onerror = () => { coming = null; failed(Error('The index could not be loaded')) }
    document.head.append(script)
  })

  // ---- What is shown
  const text = hit => make('div', {className: 'search-result-text'},
    ...SiteSearch.snippet(hit).map(([piece, marked]) => marked ? make('mark', {textContent: piece}) : piece))
  const entry = (href, className, ...inside) =>
    make('a', {className: `search-result ${className}`, href: new URL(href, up), role: 'option', tabIndex: -1}, ...inside)
  const shown = ({title, href, name, where, hits}) => {
    const [own, ...rest] = [...hits].sort((a, b) => (b.kind === 'page') - (a.kind === 'page'))
    const whole = own.kind === 'page'
    const head = make('div', {className: 'search-result-title'}, name ? make('code', {textContent: title}) : title)
    if (name) head.append(make('span', {textContent: ` in ${where}`}))
    const sections = (whole ? rest : hits).map(hit =>
      entry(hit.href, 'part', make('div', {className: 'search-result-section', textContent: hit.section}), text(hit)))
    return make('div', {role: 'group', ariaLabel: title},
      entry(href, 'page', head, ...(whole ? [text(own)] : [])), ...sections)
  }
  const nothing = query => make('div', {className: 'search-none'}, `Nothing holds “${query}”. See `,
    make('a', {href: new URL('reference/questions.html', up), textContent: 'Questions'}), ', ',
    make('a', {href: new URL('reference/glossary.html', up), textContent: 'the glossary'}), ' or ',
    make('a', {href: new URL('api/index.html', up), textContent: 'all names'}), '.')

  document.querySelectorAll('.smalldocs-search').forEach((box, n) => {
    const input = box.querySelector('input'), list = box.querySelector('.smalldocs-search-results')
    let at = -1, waiting = 0
    Object.assign(list, {id: `search-results-${n}`, role: 'listbox', ariaLabel: 'What was found'})
    Object.assign(input, {role: 'combobox', ariaExpanded: 'false', ariaAutoComplete: 'list'})
    if (matchMedia('(hover: hover)').matches) input.placeholder = 'Search  /'
    input.setAttribute('aria-controls', list.id)
    const show = open => {
      list.classList.toggle('show', open)
      input.ariaExpanded = `${open}`
      if (!open) choose(-1)
    }
    const choose = to => {
      const all = [...list.querySelectorAll('.search-result')]
      at = all.length ? Math.min(Math.max(to, -1), all.length - 1) : -1
      all.forEach((e, i) => {
        e.id = `${list.id}-${i}`
        e.classList.toggle('active', i === at)
        e.ariaSelected = `${i === at}`
      })
      if (at < 0) return input.removeAttribute('aria-activedescendant')
      input.setAttribute('aria-activedescendant', all[at].id)
      all[at].scrollIntoView({block: 'nearest'})
    }
    const run = async () => {
      const query = input.value.trim()
      if (query.length < 2) return show(false)
      try {
        const found = (await engine()).find(query)
        if (query !== input.value.trim()) return
        list.replaceChildren(...(found.length ? found.map(shown) : [nothing(query)]))
      } catch (e) { list.replaceChildren(make('div', {className: 'search-none', textContent: e.message})) }
      list.scrollTop = 0
      show(true)
      choose(-1)
    }
    // Caught on their way down, before smalldocs sees them
    const on = (what, act) => box.addEventListener(what, e => {
      if (e.target !== input) return
      e.stopPropagation()
      act(e)
    }, true)
    on('input', () => { clearTimeout(waiting); waiting = setTimeout(run, 120) })
    on('focus', () => { engine().catch(() => {}); run() })
    on('keydown', e => {
      const links = list.classList.contains('show') ? list.querySelectorAll('.search-result') : []
      const step = {ArrowDown: 1, ArrowUp: -1}[e.key]
      if (e.key === 'Escape') { show(false); input.blur() }
      else if (step && links.length) { e.preventDefault(); choose(at + step) }
      else if (e.key === 'Enter' && links.length) { e.preventDefault(); links[Math.max(at, 0)].click() }
    })
    list.addEventListener('click', e => e.target.closest('a') && show(false))
    box.addEventListener('focusout', e => box.contains(e.relatedTarget) || e.relatedTarget && show(false))
  })
})()
