'use strict'
// The page at /account/: signing in, and one's second factors. The token of the login lives
// in this script alone: who closes or reloads the page signs in again.

const $ = id => document.getElementById(id)
const home = document.querySelector('main').dataset.url // of the box; empty: it does not know it
let token = '', ticket = ''

// A Refusal is an answer of the box that is no success.
class Refusal extends Error {
  constructor(status, body, wait) {
    super(body.message || `The box answered ${status}.`)
    this.status = status
    this.details = body.details || []
    this.wait = wait
  }
}

async function call(method, path, body) {
  const headers = { 'Content-Type': 'application/json', Accept: 'application/json' }
  if (token) headers.Authorization = 'Bearer ' + token
  let answer
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: 'omit' })
  } catch {
    throw new Error('The box does not answer. Look whether it is on and in the same network, and try again.')
  }
  const json = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Refusal(answer.status, json, answer.headers.get('Retry-After'))
  return json
}

// inWords says what went wrong, and what to do about it. meant are words for statuses
// that mean something of their own in this place.
function inWords(error, meant = {}) {
  if (error instanceof Refusal) {
    if (error.status === 429) return `There were too many tries. Come again in ${error.wait} seconds.`
    for (const d of error.details) if (d.field === 'password' && d.issue === 'is wrong') return 'The password is wrong.'
    if (meant[error.status]) return meant[error.status]
    const details = error.details.map(d => `${d.field} ${d.issue}`).join(', ')
    const text = error.message[0].toUpperCase() + error.message.slice(1)
    return details ? `${text}: ${details}.` : text.replace(/\.?$/, '.')
  }
  switch (error.name) {
    case 'NotAllowedError': return 'No passkey was used: it was cancelled, took too long, or none that fits is at hand. Try again.'
    case 'InvalidStateError': return 'This device or security key has a passkey of this account already.'
    case 'SecurityError': return 'The browser makes passkeys for a site with a name and https only. Open the page at ' + (home || 'the URL of the box') + '.'
    case 'NotSupportedError': return 'This device or security key cannot make a passkey that the box takes (ES256, EdDSA or RS256).'
  }
  return error.message
}

function say(text, fault) {
  $('said').textContent = text
  $('said').className = fault ? 'fault' : ''
  $('said').hidden = !text
}

function show(id) {
  for (const one of ['in', 'second', 'mine']) $(one).hidden = one !== id
}

let busy = false

// doing has a form or button work, one at a time, and says how it went.
function doing(event, work, meant) {
  event.preventDefault()
  if (busy) return
  busy = true
  say('')
  document.querySelector('main').ariaBusy = true
  work().catch(error => {
    if (error instanceof Refusal && error.status === 401 && token) {
      leave()
      return say('The login has ended. Sign in again.', true)
    }
    say(inWords(error, meant), true)
  }).finally(() => {
    busy = false
    document.querySelector('main').ariaBusy = null
  })
}

// unready says why passkeys cannot be used here, or ''.
function unready() {
  if (!home) return 'Passkeys need the URL of the box, which its operator has not set (url or production-url).'
  if (location.origin !== new URL(home).origin) return `Passkeys of this box are good at ${new URL(home).origin} alone. Open this page there: ${new URL('/account/', home)}`
  if (!window.isSecureContext || !window.PublicKeyCredential) return 'This browser has no passkeys here: it needs https, and a browser that is not too old.'
  return ''
}

// WebAuthn wants bytes where JSON has base64url.
const bytes = text => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0))
const base64 = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
const named = list => (list || []).map(c => ({ ...c, id: bytes(c.id) }))

function credentialOf(c) {
  const response = {}
  for (const name of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
    if (c.response[name]) response[name] = base64(c.response[name])
  }
  if (c.response.getTransports) response.transports = c.response.getTransports()
  return {
    id: c.id, rawId: base64(c.rawId), type: c.type, response,
    authenticatorAttachment: c.authenticatorAttachment || undefined, clientExtensionResults: c.getClientExtensionResults(),
  }
}

async function make(options) {
  const p = options.publicKey
  return credentialOf(await navigator.credentials.create({ publicKey: {
    ...p, challenge: bytes(p.challenge), user: { ...p.user, id: bytes(p.user.id) }, excludeCredentials: named(p.excludeCredentials),
  } }))
}

async function sign(options) {
  const p = options.publicKey
  return credentialOf(await navigator.credentials.get({ publicKey: {
    ...p, challenge: bytes(p.challenge), allowCredentials: named(p.allowCredentials),
  } }))
}

// Signing in.

const field = (form, name) => form.elements[name].value
const inForm = $('in').querySelector('form')

inForm.addEventListener('submit', e => doing(e, async () => {
  const login = await call('POST', '/login/', { email: field(inForm, 'email'), password: field(inForm, 'password') })
  inForm.elements.password.value = ''
  if (!login.mfaRequired) return enter(login)
  ticket = login.ticket
  const has = name => login.factors.includes(name)
  $('by-passkey').hidden = !has('passkey')
  $('by-code').hidden = !has('totp')
  $('by-recovery').hidden = !has('recovery')
  $('use').disabled = has('passkey') && unready() !== ''
  show('second')
  if ($('use').disabled) say(unready(), true)
}, { 401: 'The address or the password is wrong.' }))

const late = 'After some minutes, or several wrong tries, it takes the password once more: start again then.'

async function second(proof) {
  const login = await call('POST', '/login/factor/', { ticket, ...proof })
  await enter(login)
}

$('use').addEventListener('click', e => doing(e, async () => {
  const { options } = await call('POST', '/login/passkey/', { ticket })
  await second({ passkey: await sign(options) })
}, { 401: 'The box did not take this passkey. ' + late, 409: 'No passkey of this account was made for this URL. Use another factor.' }))

for (const [form, name, words] of [[$('by-code'), 'code', 'The code is wrong, or was used: wait for the next one. '],
  [$('by-recovery').querySelector('form'), 'recoveryCode', 'The recovery code is wrong, or was used. ']]) {
  form.addEventListener('submit', e => doing(e, async () => {
    const given = field(form, name)
    form.reset()
    await second({ [name]: given })
  }, { 401: words + late }))
}

$('again').addEventListener('click', () => { say(''); leave() })

async function enter(login) {
  token = login.token
  ticket = ''
  $('who').textContent = [login.user.firstname, login.user.lastname].join(' ').trim() || login.user.email
  $('role').textContent = `${login.user.email}, ${login.user.role}`
  await list()
  show('mine')
  const why = unready()
  for (const one of $('add').elements) one.disabled = why !== ''
  if (login.mfaSetupRequired) say('Here your role needs a second factor: until you have one, this login is good for nothing else.' + (why && ' ' + why), true)
  else if (why) say(why, true)
}

function leave() {
  token = ticket = ''
  showCodes([])
  showSecret()
  $('keys').replaceChildren()
  for (const form of document.querySelectorAll('form')) form.reset()
  show('in')
}

$('out').addEventListener('click', e => doing(e, async () => {
  await call('POST', '/logout/')
  leave()
  say('You are signed out.')
}))

// Passkeys.

const day = time => new Date(time).toLocaleDateString('en-GB', { dateStyle: 'long' })

async function list() {
  const f = await call('GET', '/factors/')
  $('keys').replaceChildren(...f.passkeys.map(keyOf))
  $('none').hidden = f.passkeys.length > 0
  $('app').textContent = f.totp ? 'An authenticator app is set up.' : 'None is set up yet.'
  $('app-begin').hidden = f.totp
  $('app-remove').hidden = !f.totp
  $('app-remove').open = false
  $('left').textContent = `${f.recoveryCodesLeft} are left.`
  $('recovery').hidden = !f.totp && f.passkeys.length === 0
}

// taken is what stands in the password field of a form, which is empty afterwards.
function taken(form) {
  const password = field(form, 'password')
  form.elements.password.value = ''
  return password
}

function showCodes(codes) {
  $('codes').querySelector('ol').replaceChildren(...codes.map(code => Object.assign(document.createElement('li'), { textContent: code })))
  $('codes').hidden = codes.length === 0
}

function keyOf(key) {
  const li = $('key').content.cloneNode(true).firstElementChild
  const form = li.querySelector('form'), remove = li.querySelector('.remove')
  li.querySelector('.name').textContent = key.name || 'without a name'
  li.querySelector('.when').textContent = `Made on ${day(key.createdAt)}, ` + (key.lastUsedAt ? `last used on ${day(key.lastUsedAt)}` : 'not used yet') +
    (key.relyingParty === location.hostname ? '' : `. It is good at ${key.relyingParty} alone`)
  const open = is => { form.hidden = !is; remove.hidden = is; form.reset(); if (is) form.elements.password.focus() }
  remove.addEventListener('click', () => open(true))
  li.querySelector('.keep').addEventListener('click', () => open(false))
  form.addEventListener('submit', e => doing(e, async () => {
    await call('POST', '/factors/remove/', { factor: key.passkeyId, password: taken(form) })
    await list()
    say(`The passkey ${key.name} was removed. Take it off the device too, where it does not go by itself.`)
  }, { 409: 'This passkey is gone already. Reload the page to see those that there are.' }))
  return li
}

$('add').addEventListener('submit', e => doing(e, async () => {
  const form = $('add'), name = field(form, 'name').trim()
  const begun = await call('POST', '/factors/passkeys/options/', { password: taken(form) })
  const credential = await make(begun.options)
  const made = await call('POST', '/factors/passkeys/', { ticket: begun.ticket, name, credential })
  form.reset()
  await list()
  say(`The passkey ${made.passkey.name} counts from now on. Other logins of the account were ended.`)
  if (made.recoveryCodes) showCodes(made.recoveryCodes)
}, { 409: 'The account has as many passkeys as it may. Remove one first.', 422: 'The box did not take what the browser made, or it took too long. Try again.' }))

$('kept').addEventListener('click', () => showCodes([]))

// The authenticator app, and recovery codes.

// showSecret shows what an app has to learn, or that there is nothing to learn.
function showSecret(setup) {
  if (setup) $('qr').src = setup.qrCode
  else $('qr').removeAttribute('src')
  $('secret').textContent = setup ? setup.secret.replace(/.{4}(?=.)/g, '$& ') : ''
  $('app-scan').hidden = !setup
  $('app-begin').hidden = !!setup
  $('app-confirm').reset()
}

$('app-begin').addEventListener('submit', e => doing(e, async () => {
  showSecret(await call('POST', '/factors/totp/', { password: taken($('app-begin')) }))
  $('app-confirm').elements.code.focus()
}, { 409: 'An authenticator app is set up already. Reload the page to see it.' }))

$('app-leave').addEventListener('click', () => { say(''); showSecret() })

$('app-confirm').addEventListener('submit', e => doing(e, async () => {
  const code = field($('app-confirm'), 'code')
  $('app-confirm').reset()
  const made = await call('POST', '/factors/totp/confirm/', { code })
  showSecret()
  await list()
  say('The authenticator app counts from now on. Other logins of the account were ended.')
  if (made.recoveryCodes) showCodes(made.recoveryCodes)
}, { 409: 'It took too long, or an app was set up meanwhile. Reload the page.', 422: 'The code is wrong. Look whether the clock of the telephone is right, and take the next one.' }))

const removal = $('app-remove').querySelector('form')
removal.addEventListener('submit', e => doing(e, async () => {
  await call('POST', '/factors/remove/', { factor: 'totp', password: taken(removal) })
  await list()
  say('The authenticator app counts no more. Delete the entry in the app, too.')
}, { 409: 'It is gone already. Reload the page.' }))

const renewal = $('recovery').querySelector('form')
renewal.addEventListener('submit', e => doing(e, async () => {
  const { recoveryCodes } = await call('POST', '/factors/recovery-codes/', { password: taken(renewal) })
  await list()
  $('recovery').querySelector('details').open = false
  showCodes(recoveryCodes)
  say('The codes from before are good no more.')
}))

show('in')
