// Masks and pictures of page Masks and pixels: square, flat arrays of numbers, (s·s); a picture is three of those,
// [R, G, B], 0 to 1.

export const sideOf = m => Math.round(Math.sqrt(m.length))
export const zeros = s => new Float64Array(s*s)
export const ones = s => zeros(s).fill(1)
export const maximum = (a, b) => a.map((x, k) => Math.max(x, b[k]))
export const minimum = (a, b) => a.map((x, k) => Math.min(x, b[k]))
export const times = (a, b) => a.map((x, k) => x*b[k])
const plus = (a, b) => a.map((x, k) => x + b[k])
const largest = m => m.reduce((a, b) => Math.max(a, b), -Infinity)

// The three planes of pixels (3·s·s), and back
export const planes = pixels => [0, 1, 2].map(c => Float64Array.from(pixels.slice(c*pixels.length/3, (c + 1)*pixels.length/3)))
export const pixelsOf = picture => Float32Array.from(picture.flatMap(plane => [...plane]))

// ---- What works line by line: `f` on every row, then on every column

export function separably(m, f) {
  const s = sideOf(m)
  const rows = Array.from({length: s}, (_, y) => f(m.subarray(y*s, (y + 1)*s)))
  const size = rows[0].length, out = zeros(size)
  for (let x = 0; x < size; x++) f(rows.map(row => row[x])).forEach((value, y) => { out[y*size + x] = value })
  return out
}

// The mask and what lies within `n` of it
export function widened(mask, n) {
  return separably(mask, line => Array.from(line, (_, x) => {
    let most = -Infinity
    for (let k = Math.max(0, x - n); k <= Math.min(line.length - 1, x + n); k++) most = Math.max(most, line[k])
    return most
  }))
}

// The mean in windows of 2r + 1, mirrored at the border
export function windowMean(m, r) {
  const mirrored = (k, s) => k < 0 ? -k : k >= s ? 2*(s - 1) - k : k
  return separably(m, line => {
    const s = line.length, n = Math.min(r, s - 1), out = []
    let sum = 0
    for (let k = -n; k <= n; k++) sum += line[mirrored(k, s)]
    for (let x = 0; x < s; x++) {
      out.push(sum/(2*n + 1))
      sum += line[mirrored(x + n + 1, s)] - line[mirrored(x - n, s)]
    }
    return out
  })
}

// Smaller, by the mean of every block
export function shrunk(m, size) {
  const block = sideOf(m)/size
  return separably(m, line => Array.from({length: size}, (_, x) => {
    let sum = 0
    for (let k = 0; k < block; k++) sum += line[x*block + k]
    return sum/block
  }))
}

// Larger, every cell a block
export const blocks = (m, size) => separably(m, line => Array.from({length: size}, (_, x) => line[Math.floor(x*line.length/size)]))

// Larger, by straight lines
export const bilinear = (m, size) => separably(m, line => Array.from({length: size}, (_, x) => {
  const at = Math.max(0, (x + 0.5)*line.length/size - 0.5), low = Math.floor(at), high = Math.min(low + 1, line.length - 1)
  return line[low] + (at - low)*(line[high] - line[low])
}))

// Larger, by cubic curves (PyTorch's, a = −0.75)
export function bicubic(m, size) {
  const near = d => ((1.25*d - 2.25)*d)*d + 1                 // of the two nearest
  const far = d => ((-0.75*d + 3.75)*d - 6)*d + 3             // of the next two
  return separably(m, line => Array.from({length: size}, (_, x) => {
    const at = (x + 0.5)*line.length/size - 0.5, low = Math.floor(at), d = at - low
    const value = k => line[Math.min(line.length - 1, Math.max(0, low + k))]
    return far(1 + d)*value(-1) + near(d)*value(0) + near(1 - d)*value(1) + far(2 - d)*value(2)
  }))
}

// ---- Where a thing ends

// A straight line between two thresholds
export const ramp = (m, low, high) => m.map(x => Math.min(1, Math.max(0, (x - low)/(high - low))))

// x with A x = y, by elimination
export function solve(A, y) {
  const rows = A.map((row, i) => [...row, y[i]]), n = y.length
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const share = rows[j][i]/rows[i][i]
      for (let k = i; k <= n; k++) rows[j][k] -= share*rows[i][k]
    }
  }
  const x = Array(n).fill(0)
  for (let i = n - 1; i >= 0; i--) {
    const known = rows[i].slice(i + 1, n).reduce((sum, a, k) => sum + a*x[i + 1 + k], 0)
    x[i] = (rows[i][n] - known)/rows[i][i]
  }
  return x
}

// In every window `p` as a linear function of the colours of `guide` (He et al., 2010, in colour): slopes and offset, the
// means over the windows in which a pixel lies
export function windowFit(guide, p, r, eps = 1e-3) {
  const mean = guide.map(g => windowMean(g, r)), meanP = windowMean(p, r)
  const cov = guide.map((g, c) => windowMean(times(g, p), r).map((x, k) => x - mean[c][k]*meanP[k]))
  const variance = guide.map((g, c) => guide.map((h, d) => windowMean(times(g, h), r).map((x, k) => x - mean[c][k]*mean[d][k])))
  const a = guide.map(() => p.slice()), b = meanP.slice()
  for (let k = 0; k < p.length; k++) {
    const ridge = variance.map((row, c) => row.map((v, d) => v[k] + eps*(c === d)))
    solve(ridge, cov.map(v => v[k])).forEach((x, c) => {
      a[c][k] = x
      b[k] -= x*mean[c][k]
    })
  }
  return {slopes: a.map(v => windowMean(v, r)), offset: windowMean(b, r)}
}

// `p` as `windowFit` gives it from the colours of `guide`: it ends where they end
export function guidedFilter(guide, p, r, eps = 1e-3) {
  const {slopes, offset} = windowFit(guide, p, r, eps)
  return slopes.map((v, c) => times(v, guide[c])).reduce(plus, offset)
}

// Where a map is high, ending where the colours of `picture` end
export function outline(m, picture, threshold = 0.35, rounds = 2) {
  const big = bicubic(m, sideOf(picture[0])), most = largest(big)
  let out = ramp(big.map(x => x/most), threshold - 0.1, threshold + 0.1)
  const r = sideOf(big)/sideOf(m)
  for (let i = 0; i < rounds; i++) out = ramp(guidedFilter(picture, out, r), 0.3, 0.7)
  return out
}

// The mask as each pixel's colour alone foretells it: ridge regression on a quadratic
export function byColour(mask, picture) {
  const x = [mask.map(() => 1), ...picture]
  const features = x.flatMap((a, i) => x.slice(i).map(b => times(a, b)))
  const dot = (a, b) => a.reduce((sum, value, k) => sum + value*b[k], 0)
  const A = features.map((a, i) => features.map((b, j) => dot(a, b) + 0.01*mask.length*(i === j)))
  const weights = solve(A, features.map(a => dot(a, mask)))
  return features.map((a, i) => a.map(value => weights[i]*value)).reduce(plus)
}

// The mask, and what hangs together with it inside `alike`, up to a quarter of the height away
export function grown(mask, alike) {
  for (let i = 0; i < Math.floor(sideOf(mask)/4); i++) mask = maximum(mask, minimum(widened(mask, 1), alike))
  return mask
}

// ---- Back to the photograph

// What was lost of the photograph in the colours of the edit, in every window a linear function of the reconstruction's
const inNewColours = (lost, back, edited) => edited.map(plane => {
  const {slopes} = windowFit(back, plane, Math.max(1, Math.floor(sideOf(plane)/32)))
  return slopes.map((slope, c) => times(slope, lost[c])).reduce(plus)
})

// Give back what the autoencoder lost where nothing changed, or a look: pictures (3·s·s), `pixels` (s·s) where they may
// have changed, `held` (h·h) where only a look has
export function restore(photo, back, edited, pixels, held, low = 8/255, high = 28/255) {
  const [p, b, e] = [photo, back, edited].map(planes), s = sideOf(p[0]), n = Math.max(1, Math.round(s/64))
  const change = e.map((plane, c) => plane.map((x, k) => Math.abs(x - b[c][k]))).reduce(maximum)
  const differs = windowMean(widened(ramp(change, low, high), n), n)
  const lost = p.map((plane, c) => plane.map((x, k) => x - b[c][k]))
  let out = e.map((plane, c) => plane.map((x, k) => x + (1 - differs[k])*lost[c][k]))
  if (held?.some(Boolean)) {
    const share = times(differs, bilinear(held, s)), again = inNewColours(lost, b, e)
    out = out.map((plane, c) => plus(plane, times(share, again[c])))
  }
  if (!pixels) return pixelsOf(out)
  const soft = windowMean(pixels, n)
  return pixelsOf(out.map((plane, c) => plane.map((x, k) => p[c][k] + soft[k]*(x - p[c][k]))))
}
