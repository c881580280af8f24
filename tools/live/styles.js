// The styles of page Styles, for pictures of 128 pixels a side: planes [R, G, B] of whole numbers, 0 to 255. Pixel art is
// left out: the choice of its sixteen colours is Pillow's own. `chance` is three planes: the washes and the border of a
// watercolour (0 to 255 for -1 to 1), the grain of a photo.
import {maximum, separably, sideOf} from './masks.js'

const clip = (x, low = 0, high = 255) => Math.min(high, Math.max(low, x))
const painted = (s, f) => [0, 1, 2].map(c => Float64Array.from({length: s*s}, (_, k) => clip(Math.round(f(k, c)))))
// The centre of pixel k in the unit square
const centre = (k, s) => [(k%s + 0.5)/s, (Math.floor(k/s) + 0.5)/s]

// ---- Pillow's filters

export const grey = ([r, g, b]) => r.map((x, k) => Math.floor((19595*x + 38470*g[k] + 7471*b[k])/65536 + 0.5))

// GaussianBlur: three means in windows with soft ends, each rounded
export function blur(plane, sigma) {
  const v = sigma**2/3, l = Math.floor((Math.sqrt(12*v + 1) - 1)/2)
  const radius = l + (2*l + 1)*(l*(l + 1) - 3*v)/(6*(v - (l + 1)**2)), n = Math.floor(radius)
  const mean = line => line.map((_, x) => {
    const at = k => line[clip(x + k, 0, line.length - 1)]
    let sum = (radius - n)*(at(-n - 1) + at(n + 1))
    for (let k = -n; k <= n; k++) sum += at(k)
    return Math.round(sum/(2*radius + 1))
  })
  return separably(plane, line => mean(mean(mean(Array.from(line)))))
}
const blurred = (picture, sigma) => picture.map(plane => blur(plane, sigma))

// autocontrast: one in a hundred pixels becomes black, one white
export function autocontrast(plane) {
  const seen = Array(256).fill(0), levels = [...seen.keys()]
  plane.forEach(x => { seen[x]++ })
  const first = from => {
    let left = Math.floor(plane.length/100)
    return from.find(x => (left -= seen[x]) < 0)
  }
  const low = first(levels), high = first(levels.slice().reverse())
  return high <= low ? plane : plane.map(x => clip(Math.floor((x - low)*255/(high - low) + 1e-9)))
}

// ModeFilter: the commonest value of a window of 2n + 1, the lowest of equals
export function commonest(plane, n) {
  const s = sideOf(plane), seen = new Uint8Array(256)
  return plane.map((own, k) => {
    const [x, y] = [k%s, Math.floor(k/s)]
    seen.fill(0)
    for (let i = Math.max(0, y - n); i <= Math.min(s - 1, y + n); i++) {
      for (let j = Math.max(0, x - n); j <= Math.min(s - 1, x + n); j++) seen[plane[i*s + j]]++
    }
    const most = seen.reduce((best, count, value) => count > seen[best] ? value : best, 0)
    return seen[most] > 2 ? most : own
  })
}

// FIND_EDGES: how much a pixel is brighter than those around it; the border stays as it is
export function findEdges(plane) {
  const s = sideOf(plane)
  return plane.map((own, k) => {
    const [x, y] = [k%s, Math.floor(k/s)]
    if (x%(s - 1) === 0 || y%(s - 1) === 0) return own
    const around = [-s - 1, -s, -s + 1, -1, 1, s - 1, s, s + 1]
    return clip(around.reduce((sum, d) => sum - plane[k + d], 8*own))
  })
}

// How steep a plane is
function steep(plane) {
  const slope = line => Array.from(line, (_, x) => {
    const [a, b] = [Math.max(0, x - 1), Math.min(line.length - 1, x + 1)]
    return (line[b] - line[a])/(b - a)
  })
  const s = sideOf(plane), soft = blur(plane, 0.7), across = plane.slice(), down = plane.slice()
  for (let y = 0; y < s; y++) across.set(slope(soft.subarray(y*s, (y + 1)*s)), y*s)
  for (let x = 0; x < s; x++) slope(soft.filter((_, k) => k%s === x)).forEach((value, y) => { down[y*s + x] = value })
  return across.map((dx, k) => clip(4*Math.hypot(dx, down[k])))
}

// ---- The styles

function pencil(picture) {
  const s = sideOf(picture[0]), g = grey(blurred(picture, 0.6)), around = grey(blurred(picture, 4))
  const hatched = (k, dark, at) => g[k] < dark && (at + s)%8 < 2.5   // `s` is a multiple of 8
  return painted(s, (k, c) => {
    const [x, y] = [k%s, Math.floor(k/s)], line = 250*clip(g[k]/(around[k] + 1e-3), 0, 1)**2.5
    return line*(hatched(k, 150, x + y) ? 0.8 : 1)*(hatched(k, 85, x - y) ? 0.8 : 1)*[1, 0.985, 0.95][c]
  })
}

function watercolour(picture, [washes, border]) {
  const s = sideOf(picture[0]), patch = picture.map(plane => blur(commonest(plane, 3), 0.8))
  const rim = blur(findEdges(grey(picture)), 1), wave = x => x/127.5 - 1
  return painted(s, (k, c) => {
    const [x, y] = centre(k, s), inside = Math.min(x, 1 - x, y, 1 - y) + 0.012*wave(border[k])
    const paper = clip((0.05 - inside)/0.02, 0, 1), ink = 255 - (255 - patch[c][k])*(0.78 + 0.22*wave(washes[k]))
    return (ink - 0.35*rim[k])*(1 - paper) + [252, 250, 244][c]*paper
  })
}

function oldPhoto(picture, [, , noise]) {
  const s = sideOf(picture[0]), light = autocontrast(grey(picture)), grain = blur(noise, 1.2)
  return painted(s, (k, c) => {
    const [x, y] = centre(k, s).map(v => v - 0.5)
    if (Math.max(Math.abs(x), Math.abs(y)) > 0.5 - 5/128) return [244, 236, 218][c]
    return (0.12 + 0.86*light[k]/255)*(1 - 0.9*(x**2 + y**2))*[245, 216, 172][c] + 0.35*(grain[k] - 127)
  })
}

function neon(picture) {
  const s = sideOf(picture[0]), e = picture.map(plane => steep(autocontrast(plane))), most = e.reduce(maximum)
  const bright = e.map(plane => plane.map((x, k) => x*(1 + 0.8*(x - (e[0][k] + e[1][k] + e[2][k])/3)/(most[k] + 1))))
  const glow = blurred(painted(s, (k, c) => bright[c][k]), 3)
  return painted(s, (k, c) => [6, 5, 14][c] + 1.5*bright[c][k] + 1.3*glow[c][k])
}

function blueprint(picture) {
  const s = sideOf(picture[0]), g = grey(picture), lines = picture.map(steep).reduce(maximum)
  return painted(s, (k, c) => {
    const grid = k%s%16 < 1 || Math.floor(k/s)%16 < 1 ? 16 : 0
    return [28, 74, 150][c] + (grid + 0.12*(g[k] - 128) + 1.6*lines[k])*[1, 0.95, 0.8][c]
  })
}

export const STYLES = {'pencil drawing': pencil, watercolour, 'old photo': oldPhoto, 'neon sign': neon, blueprint}
