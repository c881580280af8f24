// A scene put together from the sheets, as page Scenes draws it. A picture is planes [R, G, B], or [R, G, B, A] for a
// drawing, of numbers from 0 to 255, flat (s·s).
import {sideOf, zeros} from './masks.js'
import {STYLES} from './styles.js'

// The four planes of a canvas's bytes
export const planesOf = data => [0, 1, 2, 3].map(c => Float64Array.from({length: data.length/4}, (_, k) => data[4*k + c]))

// Lay `colour` over a plane, as opaque as `m` says (0 to 1)
const over = (plane, colour, m) => plane.map((x, k) => x + (colour[k] - x)*m[k])

// How dark the ground is around a foot at (x, y), under a drawing that is `w` wide: shares of the picture
function shadow(s, {x, y, w}) {
  return zeros(s).map((_, k) => {
    const [column, row] = [(k%s + 0.5)/s, (Math.floor(k/s) + 0.5)/s]
    const far = Math.hypot((column - x)/(0.5*w), (row - y + 0.01)/(0.13*w))
    return 0.35*Math.min(1, Math.max(0, 1.25 - far))
  })
}

// A drawing on an empty picture, its foot at (x, y)
function placed(drawing, s, {x, y}) {
  const side = sideOf(drawing[3]), left = Math.round(x*s - side/2), top = Math.round(y*s - side)
  return drawing.map(plane => {
    const out = zeros(s)
    plane.forEach((value, k) => { out[(top + Math.floor(k/side))*s + left + k%side] = value })
    return out
  })
}

function stand(picture, {drawing, ...at}) {
  const s = sideOf(picture[0]), dark = shadow(s, at), [r, g, b, alpha] = placed(drawing, s, at)
  const opaque = alpha.map(x => x/255)
  return picture.map((plane, c) => over(over(plane, zeros(s), dark), [r, g, b][c], opaque))
}

// `things` are {drawing, x, y, w}; `chance` is what the style leaves to chance. Pixels (3·s·s), 0 to 1
export function drawScene([r, g, b], things, style = '', chance = null) {
  const plain = things.reduce(stand, [r, g, b]).map(plane => plane.map(Math.round))
  const picture = style ? STYLES[style](plain, chance) : plain
  return Float32Array.from(picture.flatMap(plane => [...plane]), x => x/255)
}

// ---- What it is called

const article = phrase => `${/^[aeiou]/.test(phrase) ? 'an' : 'a'} ${phrase}`

// `things` are {noun, look}
export function captionOf(things, join, place, style) {
  const plain = `${things.map(({noun, look}) => article(`${look} ${noun}`.trim())).join(` ${join} `)} ${place}`
  return style ? `${article(style)} of ${plain}` : plain
}
