// The page: a canvas that is read while one draws, and the runs with what they got wrong. No library, nothing from elsewhere.

const $ = (id) => document.getElementById(id)
const drawing = $('drawing'), pen = drawing.getContext('2d', { willReadFrequently: true }), boxes = $('boxes')
const COLOURS = { digit: '#0b5fa5', unsure: '#c2571a', 'no digit': '#6b6b6b' }  // as in the annotated picture of predict
const MARKS = { unsure: '?', 'no digit': '–' }
const OCCLUSION_PAUSE_MS = 350  // what the model looked at is computed when the pen rests
const SPEECH_PAUSE_MS = 700  // a screen reader is told the answer, and not each thought on the way to it
const STEP_PX = 8  // of the pen under the arrow keys
const MAX_SIDE_PX = 1600  // of a picture on the screen

const strokes = []  // each: { width, points }
let picture = null  // a Blob that was opened in place of a drawing
let shown = null    // the last answer
let chosen = 0      // which of its glyphs
let isFollowing = true  // whether the glyph under the pen is chosen, until somebody chooses another
let reading = false, isStale = false, pause = null, speech = null

async function ask(path, options) {
  const response = await fetch(path, options)
  let answer
  try { answer = await response.json() } catch { throw new Error('The app gave no answer. Try it again.') }
  if (!response.ok) throw new Error(answer.error)
  return answer
}

function showError(error) {
  $('error').textContent = error ? error.message : ''
  $('error').hidden = !error
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

// Drawing

function redraw() {
  pen.fillStyle = '#fff'
  pen.fillRect(0, 0, drawing.width, drawing.height)
  pen.strokeStyle = pen.fillStyle = '#111'
  pen.lineCap = pen.lineJoin = 'round'
  for (const { width, points } of strokes) {
    pen.lineWidth = width
    pen.beginPath()
    pen.moveTo(...points[0])
    for (const point of points) pen.lineTo(...point)
    pen.stroke()
  }
}

function drawLast(stroke) {
  const [from, to] = [stroke.points.at(-2) ?? stroke.points[0], stroke.points.at(-1)]
  pen.lineWidth = stroke.width
  pen.beginPath()
  pen.moveTo(...from)
  pen.lineTo(...to)
  pen.stroke()
}

function changed() {
  $('undo').disabled = !strokes.length
  $('invitation').hidden = Boolean(strokes.length || picture)
  say('')
  readSoon()
}

function leavePicture() {
  if (!picture) return
  picture = null
  resize(720, 480)
}

function resize(width, height) {
  for (const canvas of [drawing, boxes]) Object.assign(canvas, { width, height })
  redraw()
}

function clear() {
  strokes.length = 0
  leavePicture()
  redraw()
  changed()
}

function closePicture() {
  if (!picture) return
  leavePicture()
  changed()
}

function say(text, isAlarm = false) {  // beside the button: on a phone the top of the page is out of sight
  $('kept').textContent = text
  $('kept').classList.toggle('alarm', isAlarm)
}

function undo() {
  if (!strokes.length) return
  strokes.pop()
  redraw()
  changed()
}

function locate(event) {
  const place = drawing.getBoundingClientRect()
  return [(event.clientX - place.left) * drawing.width / place.width, (event.clientY - place.top) * drawing.height / place.height]
}

let stroke = null
drawing.addEventListener('pointerdown', (event) => {
  if (event.button || stroke) return
  if (picture) return chooseAt(...locate(event).map((place) => place / picture.scale))
  isFollowing = true
  drawing.setPointerCapture(event.pointerId)
  stroke = { width: Number($('thickness').value), points: [locate(event)], pointer: event.pointerId }
  strokes.push(stroke)
  drawLast(stroke)
  changed()
})
drawing.addEventListener('pointermove', (event) => {
  if (!stroke || event.pointerId !== stroke.pointer) return
  const events = event.getCoalescedEvents?.() ?? []
  for (const one of events.length ? events : [event]) {
    stroke.points.push(locate(one))
    drawLast(stroke)
  }
  changed()
})
for (const name of ['pointerup', 'pointercancel']) {
  drawing.addEventListener(name, (event) => {
    if (event.pointerId !== stroke?.pointer) return
    stroke = null
    if (!reading) show()  // all that was drawn has been read
  })
}

// The pen by keyboard: its place is a small cross on the upper canvas.
const nib = { x: 360, y: 120, isDown: false, isShown: false }
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
drawing.addEventListener('keydown', (event) => {
  const arrow = ARROWS[event.key]
  if (arrow) {
    closePicture()
    isFollowing = true
    nib.x = Math.min(drawing.width, Math.max(0, nib.x + arrow[0] * STEP_PX))
    nib.y = Math.min(drawing.height, Math.max(0, nib.y + arrow[1] * STEP_PX))
    if (nib.isDown) {
      strokes.at(-1).points.push([nib.x, nib.y])
      drawLast(strokes.at(-1))
      changed()
    }
  } else if (event.key === ' ') {
    closePicture()
    nib.isDown = !nib.isDown
    if (nib.isDown) {
      strokes.push({ width: Number($('thickness').value), points: [[nib.x, nib.y]] })
      drawLast(strokes.at(-1))
      changed()
    }
  } else if (event.key === 'z' || event.key === 'Z') {
    nib.isDown = false
    undo()
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    nib.isDown = false
    clear()
  } else return
  event.preventDefault()
  nib.isShown = true
  drawBoxes()
})
drawing.addEventListener('blur', () => { nib.isShown = nib.isDown = false; drawBoxes() })

// Pictures

async function openPicture(blob) {
  if (!blob) return
  let bitmap
  try { bitmap = await createImageBitmap(blob) } catch {
    return showError(new Error('The browser cannot show this file. Open a PNG, JPEG, GIF, BMP or WebP picture.'))
  }
  openTab('read')
  strokes.length = 0
  nib.isDown = false
  picture = blob
  picture.scale = Math.min(1, MAX_SIDE_PX / Math.max(bitmap.width, bitmap.height))
  resize(Math.round(bitmap.width * picture.scale), Math.round(bitmap.height * picture.scale))
  pen.drawImage(bitmap, 0, 0, drawing.width, drawing.height)
  shown = null
  changed()
}

$('choose').onclick = () => $('file').click()
$('photograph').onclick = () => $('camera').click()
for (const id of ['file', 'camera']) $(id).onchange = () => { openPicture($(id).files[0]); $(id).value = '' }
addEventListener('paste', (event) => openPicture([...event.clipboardData.files].find((file) => file.type.startsWith('image/'))))
addEventListener('dragover', (event) => { event.preventDefault(); $('sheet').classList.add('dragging') })
addEventListener('dragleave', () => $('sheet').classList.remove('dragging'))
addEventListener('drop', (event) => {
  event.preventDefault()
  $('sheet').classList.remove('dragging')
  openPicture(event.dataTransfer.files[0])
})

// Reading: one request at a time; what was drawn meanwhile is read right after it.

function readSoon() {
  clearTimeout(pause)
  isStale = true
  if (!reading) read()
}

function encodeDrawing() {  // toBlob waits for an idle browser, often 0.5 s and up to 7 s after the pen is lifted; this takes 3 ms
  return decode(drawing.toDataURL().split(',')[1])
}

async function read() {
  reading = true
  $('found').ariaBusy = 'true'
  if (!shown) show()
  while (isStale) {
    isStale = false
    if (!strokes.length && !picture) {
      shown = null
      continue
    }
    try {
      const body = picture ?? encodeDrawing()
      const answer = await ask(`api/read?${new URLSearchParams({ classifier: $('classifier').value })}`, { method: 'POST', body })
      if (strokes.length || picture) shown = answer
      if (isFollowing && strokes.length && answer.glyphs.length) chosen = findGlyph(...strokes.at(-1).points.at(-1))[0]
      showError()
    } catch (error) {
      shown = null
      showError(error)
    }
    if (isStale) show()
  }
  reading = false
  show()
  $('found').ariaBusy = 'false'
}

function findGlyph(x, y) {  // the nearest one's number, and how far it is
  const distances = shown.glyphs.map(({ box: [left, top, width, height] }) =>
    Math.hypot(Math.max(left - x, 0, x - left - width), Math.max(top - y, 0, y - top - height)))
  const least = Math.min(...distances)
  return [distances.indexOf(least), least]
}

function choose(number) {
  isFollowing = false
  chosen = number
  show()
  $('glyphs').children[number]?.focus()  // the buttons are new ones
}

function chooseAt(x, y) {  // on a picture
  if (!shown?.glyphs.length) return
  const [number, distance] = findGlyph(x, y)
  if (!distance) choose(number)
}

function show() {
  const glyphs = shown?.glyphs ?? []
  chosen = Math.min(chosen, Math.max(0, glyphs.length - 1))
  const missing = !strokes.length && !picture ? 'Nothing is drawn yet.' : reading ? 'Reading …' : 'Not read.'
  $('answer').textContent = shown ? shown.text || 'Nothing written is found.' : missing
  $('answer').classList.toggle('empty', !shown?.text)
  $('glyphs').replaceChildren(...(glyphs.length > 1 ? glyphs : []).map((glyph, number) => {
    const button = element('button', { 'aria-pressed': number === chosen, 'aria-label': `Glyph ${number + 1}: ${glyph.name ?? glyph.verdict}` }, glyph.name ?? MARKS[glyph.verdict])
    button.onclick = () => choose(number)
    return button
  }))
  clearTimeout(speech)
  if (!stroke) speech = setTimeout(() => { $('spoken').textContent = describe(glyphs) }, SPEECH_PAUSE_MS)
  $('notes').replaceChildren(...(shown?.notes ?? []).map((note) => element('li', {}, note)))
  $('glyph').hidden = !glyphs.length
  drawBoxes()
  if (glyphs.length) showGlyph(glyphs[chosen])
}

function describe(glyphs) {
  if (!shown) return ''
  if (glyphs.length !== 1) return $('answer').textContent
  const [{ name, verdict, likely, probabilities }] = glyphs
  return `${name ?? `${verdict}, most like ${likely}`}, ${(100 * Math.max(...probabilities)).toFixed(1)} %`
}

function showGlyph(glyph) {
  const ranked = shown.names.map((name, number) => [name, glyph.probabilities[number]])
  const bars = ranked.length > 12 ? ranked.sort((a, b) => b[1] - a[1]).slice(0, 10) : ranked
  const best = Math.max(...bars.map(([, share]) => share))
  $('bars').replaceChildren(...bars.map(([name, share]) => {
    const fill = element('span')
    fill.style.width = `${100 * share}%`
    const value = `${(100 * share).toFixed(1)} %`
    return element('li', share === best ? { class: 'best' } : {}, element('span', {}, name),
      element('span', { class: 'bar', 'aria-hidden': 'true' }, fill), element('span', { class: 'value' }, value))
  }))
  document.querySelector('.seen').hidden = !glyph.image
  if (!glyph.image) return
  const pixels = decode(glyph.image)
  paint($('image'), pixels, `The 28 by 28 image of ${glyph.name ?? glyph.verdict}`)
  paint($('looked'), pixels.map((value) => value * 0.4), 'Not computed yet')
  clearTimeout(pause)
  if (!stroke && !reading) pause = setTimeout(() => look(glyph, pixels), OCCLUSION_PAUSE_MS)
}

async function look(glyph, pixels) {
  try {
    const query = new URLSearchParams({ classifier: $('classifier').value })
    glyph.drops ??= (await ask(`api/occlusion?${query}`, { method: 'POST', body: pixels })).drops
  } catch (error) { return showError(error) }
  if (shown?.glyphs[chosen] !== glyph) return
  const largest = Math.max(0.02, ...glyph.drops)
  const context = $('looked').getContext('2d'), image = context.createImageData(28, 28)
  glyph.drops.forEach((drop, place) => {
    const heat = Math.max(0, drop) / largest, ink = pixels[place] / 255, glow = heat * (0.4 + 0.6 * ink), grey = 100 * ink * (1 - heat)
    image.data.set([grey + 255 * glow, grey + 140 * glow, grey, 255], 4 * place)
  })
  context.putImageData(image, 0, 0)
  $('looked').setAttribute('aria-label', `Covering the bright places lowers the probability by up to ${(100 * Math.max(0, ...glyph.drops)).toFixed(0)} percentage points`)
}

function decode(text) {
  return Uint8Array.from(atob(text), (mark) => mark.charCodeAt(0))
}

function paint(canvas, pixels, label) {
  const context = canvas.getContext('2d'), image = context.createImageData(28, 28)
  pixels.forEach((value, place) => image.data.set([value, value, value, 255], 4 * place))
  context.putImageData(image, 0, 0)
  canvas.setAttribute('aria-label', label)
}

function drawBoxes() {
  const context = boxes.getContext('2d')
  context.clearRect(0, 0, boxes.width, boxes.height)
  const scale = picture?.scale ?? 1, unit = boxes.width / Math.max(1, boxes.getBoundingClientRect().width)
  ;(shown?.glyphs ?? []).forEach((glyph, number) => {
    const [x, y, width, height] = glyph.box.map((side) => side * scale)
    context.strokeStyle = context.fillStyle = COLOURS[glyph.verdict]
    context.lineWidth = (number === chosen ? 3 : 1.5) * unit
    context.strokeRect(x - 2 * unit, y - 2 * unit, width + 4 * unit, height + 4 * unit)
    context.font = `600 ${15 * unit}px system-ui, sans-serif`
    const mark = glyph.name ?? MARKS[glyph.verdict], top = Math.max(20 * unit, y - 2 * unit)
    context.fillRect(x - 2 * unit, top - 20 * unit, context.measureText(mark).width + 8 * unit, 20 * unit)
    context.fillStyle = '#fff'
    context.fillText(mark, x + 2 * unit, top - 5 * unit)
  })
  if (nib.isShown) {
    context.strokeStyle = nib.isDown ? '#c2571a' : '#0b5fa5'
    context.lineWidth = 2 * unit
    context.beginPath()
    for (const [dx, dy] of [[10, 0], [0, 10]]) {
      context.moveTo(nib.x - dx * unit, nib.y - dy * unit)
      context.lineTo(nib.x + dx * unit, nib.y + dy * unit)
    }
    context.stroke()
  }
}

$('undo').onclick = undo
$('clear').onclick = clear
$('classifier').onchange = readSoon
let isKeeping = false
$('keep').onsubmit = async (event) => {
  event.preventDefault()
  if (isKeeping) return  // a second press would keep the drawing twice
  if (!strokes.length && !picture) return say('Draw something first.', true)
  isKeeping = true
  const sent = new Set(strokes), sentPicture = picture  // what is drawn before the answer comes is the next drawing
  try {
    const body = picture ?? encodeDrawing()
    const { kept } = await ask(`api/collect?${new URLSearchParams({ label: $('label').value })}`, { method: 'POST', body })
    if (picture === sentPicture) {
      strokes.splice(0, strokes.length, ...strokes.filter((one) => !sent.has(one)))
      leavePicture()
      redraw()
      changed()
    }
    say(`Kept: ${kept}`)
  } catch (error) { say(error.message, true) }
  isKeeping = false
}

// Runs

const COLUMNS = ['name', 'accuracy', '95 % interval', 'model', 'seed', 'epochs', 'rows', 'time', 'state']
const NUMBERS = ['seed', 'epochs', 'rows', 'accuracy', 'time']

function formatSeconds(seconds) {
  if (seconds === null) return ''
  return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, '0')} s`
}

async function listRuns() {
  try {
    const runs = await ask('api/runs')
    const before = new Set(ticked())
    showError()
    if (!runs.length) return $('board').replaceChildren(element('caption', {}, 'No runs yet. Make one: python -m digit_recognizer.cv --model champion'))
    const head = element('tr', {}, element('th', {}, 'compare'), ...COLUMNS.map((name) => element('th', { scope: 'col', ...(NUMBERS.includes(name) && { class: 'number' }) }, name)), element('th', {}, 'note'))
    const body = runs.map((run) => {
      const isDone = run.state === 'finished'
      const cells = { ...run, accuracy: run.accuracy?.toFixed(5), rows: run.rows?.toLocaleString('en'), time: formatSeconds(run.seconds), '95 % interval': run.low === null ? '' : `${run.low.toFixed(5)} to ${run.high.toFixed(5)}` }
      const tick = element('input', { type: 'checkbox', value: run.name, 'aria-label': `Compare ${run.name}`, ...(!isDone && { disabled: '' }) })
      tick.checked = before.has(run.name)
      tick.onchange = () => { $('compare').disabled = ticked().length !== 2 }
      return element('tr', {}, element('td', {}, tick), ...COLUMNS.map((name) => {
        if (name !== 'name' || !isDone) return element('td', NUMBERS.includes(name) ? { class: 'number' } : {}, cells[name] ?? '')
        const button = element('button', {}, run.name)
        button.onclick = () => showRun(run.name)
        return element('td', {}, button)
      }), element('td', { class: 'note' }, run.resume ?? run.note ?? ''))
    })
    $('board').replaceChildren(element('thead', {}, head), element('tbody', {}, ...body))
    $('compare').disabled = ticked().length !== 2
  } catch (error) { showError(error) }
}

const ticked = () => [...$('board').querySelectorAll('input:checked')].map((tick) => tick.value)

async function load(path, build) {
  $('detail').replaceChildren(element('p', { class: 'quiet' }, 'Reading …'))
  try {
    $('detail').replaceChildren(...build(await ask(path)))
    $('detail').firstChild.tabIndex = -1
    $('detail').firstChild.focus()  // on a phone it is far below
    showError()
  } catch (error) {
    $('detail').replaceChildren()
    showError(error)
  }
}

function showRun(name) {
  return load(`api/run?${new URLSearchParams({ name })}`, (run) => [
    element('h2', {}, name),
    element('p', {}, `Accuracy ${run.accuracy.toFixed(5)} on what was held out${run.interval ? `, 95 % interval ${run.interval.map((end) => end.toFixed(5)).join(' to ')}` : ''}.${run.ineligible ? ` Ineligible for the competition: ${run.ineligible}.` : ''}`),
    ...(run.history.length ? [element('h3', {}, 'Learning curves: errors by epoch'), drawCurves(run.history)] : []),
    element('h3', {}, 'Confusions: a row per label, a column per prediction'), drawConfusions(run.confusions, run.classes),
    ...(run.hardest.length ? [element('h3', {}, 'Hardest examples: least probability for their label'), drawPictures(run.hardest)] : []),
  ])
}

$('compare').onclick = () => {
  const [one, other] = ticked()
  load(`api/compare?${new URLSearchParams({ one, other })}`, (found) => [
    element('h2', {}, `${one} and ${other}`), element('pre', {}, found.text),
    ...(found.only ? [one, other] : []).flatMap((name, place) => [element('h3', {}, `Only ${name} has right`),
      found.only[place].length ? drawPictures(found.only[place]) : element('p', {}, 'None.')]),
  ])
}

function drawPictures(rows) {
  return element('ul', { class: 'pictures' }, ...rows.map((row) => {
    const canvas = element('canvas', { width: 28, height: 28, role: 'img' })
    paint(canvas, decode(row.image), `Row ${row.row}`)
    const caption = element('figcaption', {}, `row ${row.row.toLocaleString('en')}: label ${row.label} has ${row.probability.toFixed(3)}, predicted ${row.predicted}`)
    return element('li', {}, element('figure', {}, canvas, caption))
  }))
}

function drawConfusions(counts, names) {
  const most = Math.max(1, ...counts.flatMap((row, label) => row.filter((_, predicted) => predicted !== label)))
  const head = element('tr', {}, element('td'), ...names.map((name) => element('th', { scope: 'col', class: 'number' }, name)))
  const rows = counts.map((row, label) => element('tr', {}, element('th', { scope: 'row' }, names[label]), ...row.map((count, predicted) => {
    const cell = element('td', {}, count ? count.toLocaleString('en') : '')
    if (label !== predicted && count) cell.style.background = `color-mix(in srgb, #d9822b ${Math.round(15 + 60 * count / most)}%, transparent)`
    return cell
  })))
  return element('div', { class: 'scroll', role: 'region', tabindex: 0, 'aria-label': 'Confusions' }, element('table', { class: 'confusions', 'aria-label': 'Confusions' }, element('thead', {}, head), element('tbody', {}, ...rows)))
}

function drawCurves(history) {  // errors on a logarithmic axis, so that late epochs show
  const SVG = 'http://www.w3.org/2000/svg', left = 64, top = 10, width = 560, height = 250
  const make = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    if (text) made.textContent = text
    return made
  }
  const lines = [['accuracy', 'training'], ['val_accuracy', 'validation']].filter(([key]) => history.some((row) => row[key] !== null))
  const errors = history.flatMap((row) => lines.map(([key]) => row[key]).filter((value) => value !== null).map((value) => 1 - value))
  const low = Math.max(1e-5, Math.min(...errors.filter((error) => error > 0), 0.5)) / 1.2, high = Math.max(...errors, low * 2)
  const last = Math.max(2, ...history.map((row) => row.epoch))
  const x = (epoch) => left + width * (epoch - 1) / (last - 1)
  const y = (error) => top + height * (1 - Math.log(Math.max(error, low) / low) / Math.log(high / low))
  const svg = make('svg', { viewBox: `0 0 ${left + width + 16} ${top + height + 62}`, role: 'img', 'aria-label': `Errors by epoch, one line per fold: ${lines.map(([, kind]) => kind).join(' and ')}` })
  for (const tick of [0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001]) {
    if (tick < low || tick > high) continue
    svg.append(make('line', { class: 'grid', x1: left, x2: left + width, y1: y(tick), y2: y(tick) }), make('text', { x: left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, `${100 * tick} %`))
  }
  const step = Math.ceil(last / 12)
  for (let epoch = 1; epoch <= last; epoch += step) svg.append(make('text', { x: x(epoch), y: top + height + 20, 'text-anchor': 'middle' }, `${epoch}`))
  svg.append(make('text', { x: left + width / 2, y: top + height + 38, 'text-anchor': 'middle' }, 'epoch'))
  for (const fold of new Set(history.map((row) => row.fold))) {
    for (const [key, kind] of lines) {
      const points = history.filter((row) => row.fold === fold && row[key] !== null)
      if (points.length) svg.append(make('path', { class: kind, d: points.map((row, place) => `${place ? 'L' : 'M'}${x(row.epoch).toFixed(1)} ${y(1 - row[key]).toFixed(1)}`).join('') }))
    }
  }
  lines.forEach(([, kind], place) => {
    const at = left + 150 * place, level = top + height + 54
    svg.append(make('path', { class: kind, d: `M${at} ${level - 4}h28` }), make('text', { x: at + 36, y: level }, `${kind} errors`))
  })
  return svg
}

// Tabs, and the start

const tabs = ['read', 'runs']
function openTab(name) {
  for (const one of tabs) {
    $(one).hidden = one !== name
    $(`tab-${one}`).setAttribute('aria-selected', one === name)
    $(`tab-${one}`).tabIndex = one === name ? 0 : -1
  }
  if (name === 'runs') listRuns()
}
for (const name of tabs) {
  $(`tab-${name}`).onclick = () => openTab(name)
  $(`tab-${name}`).onkeydown = (event) => {
    if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return
    const other = tabs[1 - tabs.indexOf(name)]
    openTab(other)
    $(`tab-${other}`).focus()
  }
}

redraw()
try {
  const { classifiers, collect } = await ask('api/start')
  $('classifier').append(...classifiers.slice(1).map((name) => element('option', {}, name)))
  $('keep').hidden = !collect
  if (collect) $('keep').append(element('p', { class: 'quiet' }, `Drawings you keep go to the folder ${collect}, each label into its own. Nothing else is kept.`))
} catch (error) { showError(error) }
show()
