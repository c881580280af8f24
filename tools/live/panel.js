// The panel of page Live: pictures, words and sliders. What is computed is computed by `worker.js`
(() => {
  'use strict'
  const base = new URL('.', document.currentScript.src)
  const SIDE = 128, MOST = 12, PIXELS = 50e6   // of a side, edits that are remembered, pixels of a file

  // An element: attributes are text, listeners begin with `on`, everything else is a property
  const el = (tag, what = {}, ...inside) => {
    const out = document.createElement(tag)
    for (const [name, value] of Object.entries(what)) {
      if (name.startsWith('on')) out.addEventListener(name.slice(2), value)
      else if (typeof value === 'string') out.setAttribute(name, value)
      else out[name] = value
    }
    out.append(...inside)
    return out
  }
  const canvas = (side, what = {}) => el('canvas', {width: side, height: side, ...what})
  const pen = at => at.getContext('2d', {willReadFrequently: true})
  const words = text => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

  // ---- Pictures: pixels (3·H·W), 0 to 1, and back
  const toPixels = at => {
    const {data} = pen(at).getImageData(0, 0, SIDE, SIDE), size = SIDE*SIDE
    return Float32Array.from({length: 3*size}, (_, k) => data[4*(k%size) + Math.floor(k/size)]/255)
  }
  const draw = (at, pixels) => {
    const image = new ImageData(SIDE, SIDE), size = SIDE*SIDE
    for (let k = 0; k < 4*size; k++) image.data[k] = k%4 === 3 ? 255 : 255*pixels[(k%4)*size + (k >> 2)]
    pen(at).putImageData(image, 0, 0)
  }
  // The middle of a picture, on white
  const fit = (at, picture) => {
    const [w, h] = [picture.width, picture.height], s = Math.min(w, h), p = pen(at)
    p.fillStyle = '#fff'
    p.fillRect(0, 0, SIDE, SIDE)
    p.imageSmoothingQuality = 'high'
    p.drawImage(picture, (w - s)/2, (h - s)/2, s, s, 0, 0, SIDE, SIDE)
  }
  // The planes of one picture of a sheet
  const part = (sheet, column, row, side, planesOf) => {
    const p = pen(canvas(side))
    p.drawImage(sheet, column*side, row*side, side, side, 0, 0, side, side)
    return planesOf(p.getImageData(0, 0, side, side).data)
  }
  const decoded = async (address, what) => {
    const picture = el('img')
    const come = new Promise((done, fail) => Object.assign(picture, {onload: done, onerror: fail, src: address}))
    try { await come } catch { throw new Error(`${what} is no picture that this browser can read`) }
    if (picture.naturalWidth*picture.naturalHeight > PIXELS) {
      throw new Error(`${what} has more than ${PIXELS/1e6} million pixels: make it smaller first`)
    }
    return picture
  }

  class Panel {
    constructor(box, facts) {
      Object.assign(this, {box, facts, job: 0, waiting: null, maps: null, hw: 16, lit: null, sheets: {}, scene: null, drawn: null})
      this.wish = new URLSearchParams(location.search).get('engine')   // 'wasm', 'webgpu' or nothing
      this.engine = null   // which of these was loaded
      this.build()
    }

    // ---- What is on the page
    build() {
      this.before = canvas(SIDE, {role: 'img', 'aria-label': 'The picture'})
      this.after = canvas(SIDE, {role: 'img', 'aria-label': 'The edited picture', class: 'live-after', hidden: true})
      this.light = canvas(16, {class: 'live-light', hidden: true, 'aria-hidden': 'true'})
      this.paint = canvas(SIDE, {class: 'live-paint', hidden: true, 'aria-hidden': 'true'})
      this.slide = this.range('Before and after', 0, 100, 1, 0, () => this.stage.style.setProperty('--at', `${this.slide.value}%`))
      this.stage = el('div', {class: 'live-stage'}, this.before, this.after, this.light, this.paint)
      this.caption = el('input', {type: 'text', class: 'form-control', maxLength: 400, autocomplete: 'off', onchange: () => this.changed()})
      this.target = el('input', {type: 'text', class: 'form-control', maxLength: 400, autocomplete: 'off', onchange: () => this.weighable()})
      this.go = el('button', {type: 'button', class: 'btn btn-primary', onclick: () => this.invert()}, 'Invert')
      this.change = el('button', {type: 'button', class: 'btn btn-primary', onclick: () => this.edit()}, 'Edit')
      this.stop = el('button', {type: 'button', class: 'btn btn-outline-secondary', hidden: true, onclick: () => this.cancel()}, 'Cancel')
      this.save = el('button', {type: 'button', class: 'btn btn-outline-secondary', disabled: true, onclick: () => this.download()}, 'Download')
      this.copy = el('button', {type: 'button', class: 'btn btn-outline-secondary', onclick: () => this.link()}, 'Copy link')
      this.chips = el('div', {class: 'live-chips', role: 'group', 'aria-label': 'Where each word looks'})
      this.ideas = el('div', {class: 'live-chips', role: 'group', 'aria-label': 'Captions to try'})
      this.warning = el('p', {class: 'live-warning', hidden: true}, 'The small model has seen drawn scenes, no photographs: these come back ' +
        'blurred, and few edits of them work. For photographs there is ', el('a', {href: new URL('../reference/photo.html', location)},
        'Stable Diffusion on a GPU'), '.')
      this.bar = el('progress', {max: 1, value: 0, hidden: true, 'aria-label': 'Progress'})
      this.status = el('p', {class: 'live-status', role: 'status'})
      this.runs = el('p', {class: 'live-runs', role: 'status'})
      this.news = el('div', {}, this.bar, this.status, this.stop)
      this.past = el('div', {class: 'live-past', role: 'group', 'aria-label': 'Edits so far'})
      this.box.replaceChildren(this.pictures(), el('div', {class: 'live-desk'},
        el('div', {}, this.stage, this.labelled('Before and after', this.slide, this.ends('edited', 'as it was')), this.chips),
        el('div', {}, this.labelled('What the picture shows', this.caption), this.warning, el('p', {class: 'live-row'}, this.go), this.news,
          this.labelled('What it should show', this.target), this.ideas, this.settings(),
          el('p', {class: 'live-row'}, this.change, this.save, this.copy), this.runs)), this.past)
      this.slide.parentElement.hidden = true
      this.painting()
    }
    labelled(text, ...inside) { return el('label', {class: 'live-field'}, el('span', {}, text), ...inside) }
    range(name, min, max, step, value, heard = () => {}) {
      return el('input', {type: 'range', min: `${min}`, max: `${max}`, step: `${step}`, value: `${value}`, 'aria-label': name, oninput: heard})
    }
    // What a slider's two ends are
    ends(...names) { return el('span', {class: 'live-ends', 'aria-hidden': 'true'}, ...names.map(name => el('span', {}, name))) }
    // A slider that shows its number
    knob(name, ...numbers) {
      const shown = el('output', {}, `${numbers.at(-1)}`)
      const slider = this.range(name, ...numbers, () => { shown.value = slider.value })
      slider.set = value => {
        slider.value = value
        shown.value = slider.value   // which takes no other than its own
      }
      return [slider, this.labelled(name, slider, shown)]
    }
    settings() {
      const [w, wRow] = this.knob('Guidance', 1.5, 7.5, 0.5, 3)
      const [renew, renewRow] = this.knob('Fresh noise (renew)', 0, 1, 0.05, 0.5)
      const [hold, holdRow] = this.knob('Layout held where a look changes (hold)', 0, 1, 0.05, 0.9)
      const [seed, seedRow] = this.knob('Throw of the noise (seed)', 0, 20, 1, 0)
      const [cross, crossRow] = this.knob('Words held in place (tau_cross)', 0, 1, 0.05, 0.8)
      const [self, selfRow] = this.knob('Layout held (tau_self)', 0, 1, 0.05, 0.4)
      const [weight, weightRow] = this.knob('Its weight', -2, 4, 0.5, 1)
      const [steps, stepsRow] = this.knob('Steps of the inversion', 5, 50, 5, 20)
      steps.addEventListener('change', () => this.changed())
      const choices = {words: 'where the captions differ', named: 'where these words are', paint: 'where I paint', all: 'everywhere'}
      const options = Object.entries(choices).map(([value, text]) => el('option', {value}, text))
      const where = el('select', {class: 'form-select', 'aria-label': 'The picture may change', onchange: () => this.painting()}, ...options)
      const names = el('input', {type: 'text', class: 'form-control', maxLength: 200, autocomplete: 'off', placeholder: 'cat, red balloon'})
      const word = el('select', {class: 'form-select', 'aria-label': 'A word to weigh'})
      this.clear = el('button', {type: 'button', class: 'btn btn-outline-secondary btn-sm', onclick: () => this.unpaint()}, 'Clear the paint')
      this.knobs = {w, renew, hold, seed, cross, self, where, names, word, weight, steps}
      this.named = this.labelled('Words of a caption, with commas between', names)
      this.ofRegion = [renewRow, holdRow, seedRow]
      this.ofAll = [crossRow, selfRow]
      return el('details', {}, el('summary', {}, 'Settings'), this.labelled('The picture may change', where), this.named, this.clear,
        wRow, ...this.ofRegion, ...this.ofAll, this.labelled('A word to weigh', word), weightRow, stepsRow)
    }
    pictures() {
      const one = (scene, i) => el('label', {}, el('input', {type: 'radio', name: 'live-scene', onchange: () => this.choose(i)}),
        el('img', {src: new URL(scene.file, base).href, alt: scene.caption, width: 64, height: 64}))
      this.file = el('input', {type: 'file', accept: 'image/*', onchange: () => this.upload()})
      this.scenes = this.facts.scenes.map(one)
      return el('fieldset', {class: 'live-scenes'}, el('legend', {}, 'Choose a picture, make one, or bring one'), ...this.scenes,
        el('label', {class: 'live-own btn btn-outline-secondary'}, this.file, 'My own'), this.maker())
    }
    maker() {
      const {words, looks, views} = this.facts, item = value => el('option', {value}, value || 'as drawn')
      const choice = (name, options, show = item) =>
        el('select', {class: 'form-select', 'aria-label': name, onchange: () => this.make()}, ...options.map(show))
      const pair = (thing, its) => {
        const noun = choice(thing, words.nouns), look = choice(its, [])
        noun.follow = () => look.replaceChildren(...looks[noun.value || words.nouns[0]].map(item))
        noun.addEventListener('change', noun.follow, {capture: true})   // before the scene is made
        return [noun, look]
      }
      const [noun, look] = pair('Thing', 'Look'), [noun2, look2] = pair('Second thing', 'Its look')
      const join = choice('Beside it', ['', 'and', 'next to'], value => el('option', {value}, value || 'alone'))
      const place = choice('Place', words.places)
      const drawable = words.styles.filter(style => style !== 'pixel art')   // see styles.js
      const style = choice('Style', ['', ...drawable], value => el('option', {value}, value || 'no style'))
      const view = choice('View of the place', [...Array(views).keys()].map(String), value => el('option', {value}, `view ${+value + 1}`))
      join.follow = () => { noun2.disabled = look2.disabled = !join.value }
      join.addEventListener('change', join.follow, {capture: true})
      noun2.selectedIndex = 1
      for (const at of [noun, noun2, join]) at.follow()
      this.made = {noun, look, join, noun2, look2, place, style, view}
      this.making = el('details', {class: 'live-maker'}, el('summary', {}, 'Make a scene'), el('div', {class: 'live-row'}, ...Object.values(this.made),
        el('button', {type: 'button', class: 'btn btn-outline-secondary', onclick: () => this.make()}, 'Draw')))
      return this.making
    }
    say(text, problem = false) {
      this.status.textContent = text
      this.status.classList.toggle('live-problem', problem)
    }

    // ---- The picture
    // The picture asked for last wins. `find` looks for it and gives what puts it on the page. True if it is there, false
    // if it could not be had, null if another one has been asked for
    async bring(find) {
      const turn = this.turn = {}, late = () => turn !== this.turn
      const there = await this.safely(async () => {
        const put = await find().catch(error => { throw late() ? null : error })
        if (late()) throw null
        put()
      })
      return late() ? null : there
    }
    choose(i) {
      const scene = this.facts.scenes[i]
      return this.bring(async () => {
        this.scenes[i].firstChild.checked = false   // until it is there, so that it can be pressed again
        const picture = await decoded(new URL(scene.file, base), scene.file)
        return () => this.given(scene, i, picture)
      })
    }
    // A picture that is one of the eight
    given(scene, i, picture) {
      fit(this.before, picture)
      this.warning.hidden = true
      this.scene = i
      this.drawn = null
      this.scenes[i].firstChild.checked = true
      this.caption.value = scene.caption
      this.changed()
      this.target.value = scene.edits[0]
      const idea = text => el('button', {type: 'button', onclick: () => { this.target.value = text; this.weighable() }}, text)
      this.ideas.replaceChildren(...scene.edits.map(idea))
      this.weighable()
      this.say('Press Invert to see where each word looks, or Edit at once.')
    }
    // A file of pictures, loaded once; what went wrong is tried again
    sheet(name) {
      return this.sheets[name] ??= this.fetched(name).catch(error => {
        delete this.sheets[name]
        throw error
      })
    }
    async fetched(name) {
      const {files, version} = this.facts, answer = await fetch(new URL(`${name}?${version}`, base)).catch(() => null)
      if (!answer?.ok) throw new Error(`${name} cannot be fetched (${answer ? answer.status : 'no network'}): try again`)
      const whole = await answer.blob().catch(() => null)
      if (whole?.size !== files[name]) throw new Error(`${name} came cut short: try again`)
      const address = URL.createObjectURL(whole)
      try { return await decoded(address, name) } finally { URL.revokeObjectURL(address) }
    }
    // The scene that is asked for: what stands where, how it is called
    asked() {
      const value = Object.fromEntries(Object.entries(this.made).map(([name, at]) => [name, at.value]))
      const things = [{noun: value.noun, look: value.look}]
      if (value.join) things.push({noun: value.noun2, look: value.look2})
      if (value.join && value.noun === value.noun2) throw new Error(`two things called ${value.noun} could not be told apart: choose another one`)
      return {...value, things}
    }
    make() {
      return this.bring(async () => {
        const {facts} = this, {things, ...drawn} = this.asked(), {join, place, style, view} = drawn
        const {xs, y, side, widths} = facts.stands[things.length - 1]
        this.say('Drawing.')
        const {captionOf, drawScene, planesOf} = await import(new URL('scene.js', base))
        const names = [`things${things.length}`, 'places', 'chance']
        const [drawings, places, chance] = await Promise.all(names.map(name => this.sheet(`${name}.webp`)))
        return () => {
          const standing = things.map(({noun, look}, i) => {
            const at = [facts.looks[noun].indexOf(look), facts.words.nouns.indexOf(noun)]
            return {drawing: part(drawings, ...at, side, planesOf), x: xs[i], y, w: widths[noun]}
          })
          const ground = part(places, facts.words.places.indexOf(place), +view, SIDE, planesOf)
          draw(this.before, drawScene(ground, standing, style, part(chance, +view, 0, SIDE, planesOf)))
          this.stranger(captionOf(things, join, place, style))
          this.drawn = drawn
          this.say('Press Invert to see where each word looks, or Edit at once.')
        }
      })
    }
    // The choices of a link for a scene to make; false if it carries none
    remade(what) {
      if (!what.noun) return false
      const ok = Object.entries(this.made).map(([name, at]) => {
        if (name in what) at.value = what[name]
        const known = at.selectedIndex >= 0
        if (!known) at.selectedIndex = 0
        at.follow?.()
        return known
      })
      return ok.every(Boolean)
    }
    // A picture that is none of the eight
    stranger(caption) {
      this.warning.hidden = true
      this.scenes.forEach(label => { label.firstChild.checked = false })
      this.scene = this.drawn = null
      this.ideas.replaceChildren()
      this.caption.value = this.target.value = caption
      this.changed()
      this.weighable()
    }
    upload() {
      const [file] = this.file.files
      if (!file) return null
      this.file.value = ''
      return this.bring(async () => {
        const address = URL.createObjectURL(file)
        const picture = await decoded(address, file.name).finally(() => URL.revokeObjectURL(address))
        return () => {
          fit(this.before, picture)
          this.stranger('')
          this.warning.hidden = false
          this.say('Say what the picture shows, in words that the model knows, and press Invert, or say what it should show, and press Edit.')
        }
      })
    }
    // Another picture or caption: what was found of the old one is gone
    changed() {
      this.cancel()
      this.maps = null
      this.save.disabled = true
      this.after.hidden = this.light.hidden = true
      this.slide.parentElement.hidden = true
      this.chips.replaceChildren()
    }
    weighable() {
      const now = this.knobs.word.value, options = ['', ...new Set(words(this.target.value))]
      this.knobs.word.replaceChildren(...options.map(word => el('option', {value: word}, word || 'none')))
      this.knobs.word.value = options.includes(now) ? now : ''
    }

    // ---- The mask
    painting() {
      const where = this.knobs.where.value
      this.paint.hidden = this.clear.hidden = where !== 'paint'
      this.named.hidden = where !== 'named'
      for (const row of this.ofRegion) row.hidden = where === 'all'
      for (const row of this.ofAll) row.hidden = where !== 'all'
      this.paint.onpointerdown = this.paint.onpointermove = event => {
        if (!event.buttons) return
        event.preventDefault()
        const at = this.paint.getBoundingClientRect(), p = pen(this.paint)
        p.fillStyle = '#ff2d75'
        p.beginPath()
        p.arc((event.clientX - at.x)*SIDE/at.width, (event.clientY - at.y)*SIDE/at.height, 8, 0, 7)
        p.fill()
      }
    }
    unpaint() { pen(this.paint).clearRect(0, 0, SIDE, SIDE) }
    // Where the edit may go: phrases, a mask (H·W), 'all', or null for what the captions say
    region() {
      const {where, names} = this.knobs
      if (where.value === 'all') return 'all'
      if (where.value === 'named') return names.value.split(',').map(name => name.trim()).filter(Boolean)
      if (where.value !== 'paint') return null
      const {data} = pen(this.paint).getImageData(0, 0, SIDE, SIDE)
      const mask = Float32Array.from({length: SIDE*SIDE}, (_, k) => +(data[4*k + 3] > 127))
      if (!mask.some(Boolean)) throw new Error('nothing is painted: paint on the picture where it may change')
      return mask
    }
    // What the engine is told, in its names
    chosen() {
      const {w, renew, hold, seed, cross, self, word, weight} = this.knobs, region = this.region()
      const weights = word.value && +weight.value !== 1 ? {[word.value]: +weight.value} : {}
      const more = region === 'all' ? {tauCross: +cross.value, tauSelf: +self.value} : {renew: +renew.value, hold: +hold.value, seed: +seed.value}
      return {region, w: +w.value, weights, ...more}
    }

    // ---- The two jobs
    ask(job, what) {
      this.worker ??= this.hired()
      const id = ++this.job
      this.worker.postMessage({id, job, facts: this.facts, wish: this.wish, ...what})
      this.busy(true)
      return new Promise((done, fail) => { this.waiting = {id, done, fail} }).finally(() => id === this.job && this.busy(false))
    }
    hired() {
      const worker = new Worker(new URL('worker.js', base), {type: 'module'})
      const hear = what => worker === this.worker && this.heard(what)   // not one that was dismissed
      worker.onmessage = ({data}) => hear(data)
      worker.onerror = () => hear({kind: 'failed', why: 'the model stopped: try again', fatal: true})
      return worker
    }
    heard({id, kind, ...what}) {
      if (what.fatal) return this.dismiss(what.why)   // whether or not anything waits
      if (kind === 'engine') return this.runsOn(what)
      if (id !== this.waiting?.id) return
      const {done, fail} = this.waiting
      if (['done', 'stopped', 'failed'].includes(kind)) this.waiting = null
      if (kind === 'loading') this.advance('Loading the model', what.done, what.all, 'MB', 1e6)
      if (kind === 'step') {
        this.advance(this.doing, what.i + 1, what.total, 'steps')
        if (what.preview) this.showAfter(what.preview)
      }
      if (kind === 'done') done(what)
      if (kind === 'stopped') fail()
      if (kind === 'failed') fail(new Error(what.why))
    }
    runsOn({engine, line}) {
      this.engine = engine
      this.runs.textContent = `Runs on ${line}.`
    }
    // The worker can no longer be trusted, and what was inverted is gone with it; nor is WebGPU, if it ran there
    dismiss(why) {
      const {waiting, maps} = this
      if (this.engine === 'webgpu') {
        this.wish = 'wasm'
        why += ' (WebGPU is not used any more)'
      }
      this.worker.terminate()
      this.worker = this.waiting = null
      this.changed()
      if (waiting) waiting.fail(new Error(why))
      else if (maps) this.say(`${why}.`, true)
    }
    advance(what, done, all, unit, size = 1) {
      this.bar.value = done/all
      const text = `${what}: ${Math.round(done/size)} of ${Math.round(all/size)} ${unit}`
      if (this.status.textContent !== text) this.say(text)
    }
    busy(on) {
      this.bar.hidden = this.stop.hidden = !on
      this.go.disabled = this.change.disabled = on
    }
    cancel() {
      if (!this.waiting) return
      const {fail} = this.waiting
      this.waiting = null
      this.worker?.postMessage({id: ++this.job})
      this.busy(false)
      this.say('Stopped.')
      fail()
    }
    // Whatever goes wrong is one line, and the next press works. Did all go well?
    async safely(work) {
      try { await work() } catch (error) {
        if (error) this.say(`${error.message}.`, true)
        return false
      }
      return true
    }

    // Says below `button`, on a phone beside the finger, how far the work has come
    safelyAt(button, work) {
      button.parentElement.after(this.news)
      return this.safely(work)
    }
    invert() {
      return this.safelyAt(this.go, async () => {
        const found = await this.walk()
        if (!this.target.value) this.target.value = this.caption.value.trim()
        this.weighable()
        this.say(this.remark(found.unknown) || 'Inverted. Press a word to see where it looks; change the words below, and press Edit.')
      })
    }
    // The way back to noise, and where every word looked
    async walk() {
      const caption = this.caption.value.trim()
      if (!caption) throw new Error('say what the picture shows')
      this.changed()
      this.doing = 'Inverting'
      const found = await this.ask('invert', {pixels: toPixels(this.before), caption, T: +this.knobs.steps.value})
      Object.assign(this, {maps: found.words, hw: found.hw})
      const chip = (word, i) => el('button', {type: 'button', 'aria-pressed': 'false', onclick: () => this.lightUp(i)}, word)
      this.chips.replaceChildren(...found.words.map(({word}, i) => chip(word, i)))
      return found
    }
    edit() {
      return this.safelyAt(this.change, async () => {
        const target = this.target.value.trim()
        if (!target) throw new Error('say what the picture should show')
        const knobs = this.chosen(), start = performance.now()
        if (!this.maps) await this.walk()
        this.lightUp(null)
        this.doing = 'Editing'
        const found = await this.ask('edit', {target, knobs})
        this.showAfter(found.picture)
        this.toStage()
        this.save.disabled = false
        this.remember(target)
        const seconds = ((performance.now() - start)/1000).toFixed(1)
        this.say(this.remark(found.unknown) || `Done in ${seconds} s. Move the slider under the picture to compare.`)
      })
    }
    remark(unknown) {
      return unknown.map(({word, near}) => `The model has never seen “${word}”` +
        (near.length ? `; it knows ${near.join(', ')}.` : '.')).join(' ')
    }

    // ---- What came out
    showAfter(pixels) {
      draw(this.after, pixels)
      this.after.hidden = this.slide.parentElement.hidden = false
    }
    // On a small screen the comparison stands above the words, out of sight
    toStage() {
      const still = matchMedia('(prefers-reduced-motion: reduce)').matches
      this.stage.parentElement.scrollIntoView({block: 'nearest', behavior: still ? 'instant' : 'smooth'})
    }
    // Lights up where word i looks; pressed again, or with null, all is light
    lightUp(i) {
      const on = i !== null && this.lit !== i
      this.lit = on ? i : null;
      [...this.chips.children].forEach((chip, k) => chip.setAttribute('aria-pressed', `${on && k === i}`))
      this.light.hidden = !on
      if (!on) return
      const {map} = this.maps[i], most = Math.max(...map), least = Math.min(...map), image = new ImageData(this.hw, this.hw)
      map.forEach((x, k) => { image.data[4*k + 3] = 217*(1 - (x - least)/(most - least || 1)) })
      pen(this.light).putImageData(image, 0, 0)
    }
    remember(target) {
      const small = el('img', {src: this.after.toDataURL(), alt: target, title: target, width: 64, height: 64})
      const again = () => {
        const p = pen(this.after)
        p.drawImage(small, 0, 0)
        this.after.hidden = this.slide.parentElement.hidden = this.save.disabled = false
        this.target.value = target
      }
      this.past.prepend(el('button', {type: 'button', onclick: again}, small))
      if (this.past.children.length > MOST) this.past.lastChild.remove()
    }
    download() {
      this.after.toBlob(blob => {
        const address = URL.createObjectURL(blob)
        el('a', {href: address, download: `${words(this.target.value).join('-') || 'edit'}.png`}).click()
        setTimeout(() => URL.revokeObjectURL(address), 1000)
      })
    }

    // ---- A link that carries the settings; a picture of one's own stays at home
    link() {
      const knobs = Object.entries(this.knobs).map(([name, at]) => [name, at.value])
      const what = {scene: this.scene ?? '', caption: this.caption.value, to: this.target.value, ...Object.fromEntries(knobs), ...this.drawn}
      location.hash = `live?${new URLSearchParams(what)}`
      const done = () => this.say(this.scene === null && !this.drawn ? 'The link is copied; it carries the settings, not your picture.' : 'The link is copied.')
      navigator.clipboard?.writeText(location.href).then(done, () => this.say('The link is in the address bar.'))
    }
    async follow() {
      const what = Object.fromEntries(new URLSearchParams(location.hash.split('?')[1] ?? ''))
      const known = /^\d+$/.test(what.scene) && what.scene in this.facts.scenes
      this.making.open = this.remade(what)
      const there = await (this.making.open ? this.make() : this.choose(known ? +what.scene : 0))
      if (there === false && await this.choose(0)) this.say('Press Invert: the picture of the link cannot be had, and this is another one.', true)
      if (there && (this.making.open || known)) {   // the words belong to the link's own picture
        if (what.caption) this.caption.value = what.caption
        if (what.to) this.target.value = what.to
      }
      this.weighable()
      for (const name of ['w', 'renew', 'hold', 'seed', 'cross', 'self', 'weight', 'steps']) if (what[name]) this.knobs[name].set(what[name])
      for (const name of ['where', 'names', 'word']) if (what[name]) this.knobs[name].value = what[name]
      for (const at of [this.knobs.where, this.knobs.word]) if (at.selectedIndex < 0) at.selectedIndex = 0   // no such choice
      this.painting()
    }
  }

  // ---- Every panel of the page
  const instead = (box, text) => { box.querySelector('p').textContent = text }
  const open = async box => {
    if (location.protocol === 'file:') {
      return instead(box, 'Opened as a file, this page cannot load its model: run “python -m http.server” in the folder of the site, and open localhost:8000.')
    }
    if (!('WebAssembly' in window && 'DecompressionStream' in window)) {
      return instead(box, 'This browser has no WebAssembly or is too old for this panel: try a newer one.')
    }
    const answer = await fetch(new URL('model.json', base)).catch(() => null)
    if (answer?.status === 404) return instead(box, 'The model of this page is missing: this copy of the site was built without it.')
    const facts = answer?.ok ? await answer.json().catch(() => null) : null
    if (!facts) {
      instead(box, 'What the panel needs to know of its model did not come whole.')
      return offer(box, 'Try again')
    }
    await new Panel(box, facts).follow()
    navigator.serviceWorker?.register(new URL('../../threads.js', base)).catch(() => null)   // without it, one thread works
  }
  // Where the page is about something else, the panel waits behind a button
  const offer = (box, name = 'Try it here') => {
    const press = async () => {
      button.disabled = true
      try { await open(box) } finally { button.remove() }
    }
    const button = el('button', {type: 'button', class: 'btn btn-primary', onclick: press}, name)
    box.append(button)
  }
  for (const box of document.querySelectorAll('[data-live]')) (box.dataset.live === 'later' ? offer : open)(box)
})()
