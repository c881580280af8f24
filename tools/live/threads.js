// Lets the panel use threads, which browsers allow to a page whose answers say that it shares nothing with others. It
// stands at the top of the site as a service worker, and works from the second visit on; nothing is kept.
const ALONE = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin'}

async function answered(request) {
  const answer = await fetch(request)
  if (!answer.status) return answer   // a redirection, which the browser follows itself
  const headers = new Headers(answer.headers)
  for (const [name, value] of Object.entries(ALONE)) headers.set(name, value)
  return new Response(answer.body, {status: answer.status, statusText: answer.statusText, headers})
}

self.addEventListener('fetch', event => {
  if (new URL(event.request.url).origin === location.origin) event.respondWith(answered(event.request))
})
