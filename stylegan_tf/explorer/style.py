"""The page's style sheet and scripts: a quiet frame around one image, light or dark.

All of it is served by the page's own server; fonts are the system's.
"""

COLORS = {"primary": "#3b5bdb", "dark": "#1d1e22", "dark_page": "#131417"}

CSS = """
:root {
  --ground: #f3f3f0; --card: #ffffff; --ink: #1b1c1f; --soft: #6a6c73;
  --line: #e3e3de; --accent: #3b5bdb; --well: #e9e9e5;
}
.body--dark {
  --ground: #131417; --card: #1d1e22; --ink: #ececee; --soft: #9a9ca5;
  --line: #2e3036; --accent: #8ea4ff; --well: #0c0d0f;
  --q-primary: #5c7cfa !important;
}
.body--dark .bg-primary { --q-primary: #4263eb !important; }  /* under white text */
body {
  background: var(--ground); color: var(--ink);
  font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
.nicegui-content { padding: 0; gap: 0; align-items: stretch; min-height: 100vh; }
.bar {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem;
  padding: .8rem 1.5rem; border-bottom: 1px solid var(--line); background: var(--card);
}
.bar .title { font-weight: 650; letter-spacing: -.01em; }
.bar .facts { color: var(--soft); font-size: .85rem; margin-left: auto; }
.desk {
  display: grid; grid-template-columns: minmax(0, 1fr) 25rem; gap: 1.5rem;
  padding: 1.5rem; max-width: 92rem; width: 100%; margin: 0 auto;
}
.stage {
  display: flex; flex-direction: column; gap: .9rem; min-width: 0;
  align-items: center; position: sticky; top: 1.5rem; align-self: start;
}
.frame {
  position: relative; line-height: 0;
  width: min(100%, calc((100vh - 24rem) * var(--aspect)));
  min-width: min(100%, 16rem);
}
.overlay, .overlay svg {
  position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none;
  border-radius: .75rem;
}
img.overlay { image-rendering: pixelated; }
.overlay svg line {
  stroke: #fff; stroke-width: 2px; vector-effect: non-scaling-stroke;
  filter: drop-shadow(0 0 1px #000);
}
.overlay svg circle {
  stroke: #fff; stroke-width: 1.5px; vector-effect: non-scaling-stroke;
}
.overlay svg .handle { fill: #e03131; }
.overlay svg .target { fill: #1c7ed6; }
.picture {
  width: 100%; aspect-ratio: var(--aspect); border-radius: .75rem;
  background: var(--well);
  box-shadow: 0 1px 2px rgb(0 0 0 / .08), 0 8px 30px rgb(0 0 0 / .10);
  cursor: grab; touch-action: none; user-select: none; display: block;
}
.picture:active { cursor: grabbing; }
.picture.pixels { image-rendering: pixelated; }
.picture:focus-visible, .keepsake button:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 3px;
}
.bench { width: 100%; max-width: 46rem; }
.bench .row { padding-top: .3rem; }
.unseen { display: none; }
.thumb {
  width: 3rem; height: 3rem; object-fit: contain; border-radius: .4rem;
  background: var(--well);
}
.stack { display: flex; flex-direction: column; gap: .4rem; }
.more { display: flex; flex-direction: column; gap: .4rem; padding: .2rem 0 .5rem; }
.strip { display: flex; gap: .25rem; min-height: 3rem; }
.strip .open {
  all: unset; cursor: pointer; flex: 1; min-width: 0; border-radius: .35rem;
  overflow: hidden; line-height: 0;
}
.strip .open img { width: 100%; image-rendering: pixelated; display: block; }
.strip .open:focus-visible { outline: 3px solid var(--accent); }
.q-tooltip.q-tooltip--style { background: #424242; color: #fff; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem; justify-content: center; }
.hint { color: var(--soft); font-size: .78rem; text-align: center; }
.hint kbd {
  font: inherit; border: 1px solid var(--line); border-radius: .3rem;
  padding: 0 .3rem; background: var(--card);
}
.gallery {
  display: flex; flex-wrap: wrap; gap: .5rem; justify-content: center;
  max-height: 9.5rem; overflow-y: auto; padding: 3px;
}
.keepsake { position: relative; width: 4rem; height: 4rem; }
.keepsake .open {
  all: unset; cursor: pointer; width: 100%; height: 100%; border-radius: .45rem;
  display: block; overflow: hidden; background: var(--well);
}
.keepsake .open img { width: 100%; height: 100%; object-fit: cover; display: block; }
.keepsake .open img.pixels { image-rendering: pixelated; }
.keepsake .drop {
  all: unset; cursor: pointer; position: absolute; top: 2px; right: 2px;
  width: 1.1rem; height: 1.1rem; border-radius: 50%; font-size: .75rem;
  line-height: 1.05rem; text-align: center; opacity: 0;
  background: rgb(0 0 0 / .65); color: #fff;
}
.keepsake:hover .drop, .keepsake .drop:focus-visible { opacity: 1; }
@media (hover: none) { .keepsake .drop { opacity: 1; } }
.recipe {
  width: 100%; max-width: 46rem; background: var(--card); border-radius: .6rem;
  border: 1px solid var(--line); padding: .55rem .8rem;
}
.recipe .why { color: var(--soft); font-size: .82rem; margin-bottom: .3rem; }
.recipe .line, .recipe .others div {
  font: .8rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono",
    monospace;
  user-select: all;
}
.recipe .others p {
  color: var(--soft); font-size: .82rem; margin: .5rem 0 .2rem;
}
.recipe .line span, .recipe .others span {
  display: inline-block; max-width: 100%; overflow-wrap: anywhere;
}
.panel { display: flex; flex-direction: column; gap: .8rem; min-width: 0; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: .85rem 1rem; display: flex; flex-direction: column; gap: .35rem;
}
.card .head { display: flex; align-items: center; min-height: 1.75rem; }
.card .name { font-weight: 620; font-size: .93rem; flex: 1; }
.note { color: var(--soft); font-size: .8rem; line-height: 1.35; }
.dial {
  display: grid; grid-template-columns: 5.2rem minmax(0, 1fr) 3.2rem; gap: .6rem;
  align-items: center; min-height: 1.9rem; font-size: .88rem;
}
.dial .of { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dial .value {
  all: unset; cursor: pointer; text-align: right; color: var(--soft);
  font-variant-numeric: tabular-nums; font-size: .84rem; border-radius: .3rem;
}
.dial .value:hover { color: var(--accent); }
.dial .value:focus-visible { outline: 2px solid var(--accent); }
.row { display: flex; align-items: center; gap: .4rem; flex-wrap: nowrap; }
.dial:has(.q-btn) { grid-template-columns: 5.2rem minmax(0, 1fr) 3.2rem 1.7rem; }
.row.wrap { flex-wrap: wrap; }
.row .grow { flex: 1; min-width: 0; }
.row .of { width: 7.2rem; font-size: .88rem; }
.row .of small { color: var(--soft); }
.checks { display: flex; flex-wrap: wrap; gap: .1rem .8rem; font-size: .88rem; }
.q-btn { border-radius: .5rem; }
.q-btn-toggle { width: 100%; }
.q-btn-toggle .q-btn { flex: 1; }
.card .seed .q-field__control, .card .seed .q-field__marginal { height: 2.2rem; }
.card .seed .q-field__native { min-height: 2.2rem; padding: 0 0 0 2px; }
.card .q-expansion-item__container > .q-item { padding: 0; min-height: 2rem; }
.card .nicegui-expansion .q-expansion-item__content { padding: 0; gap: 0; }
@media (max-width: 60rem) {
  .desk { grid-template-columns: minmax(0, 1fr); gap: 1rem; padding: 1rem; }
  .stage { display: contents; }
  .frame {
    width: min(100%, calc(42vh * var(--aspect))); min-width: 0; justify-self: center;
    position: sticky; top: .5rem; z-index: 5;
  }
  .hint { display: none; }
}
@media (prefers-reduced-motion: no-preference) {
  .keepsake .open { transition: transform .12s; }
  .keepsake .open:hover { transform: scale(1.05); }
}
"""

# Sends the position of the pointer, in widths and heights of the image.
DRAG = """(e) => {
  const box = e.currentTarget.getBoundingClientRect();
  if (e.type === "pointerdown") {
    if (e.button !== 0) return;
    e.preventDefault();
    e.currentTarget.focus({preventScroll: true});
    e.currentTarget.setPointerCapture(e.pointerId);
  } else if (!(e.buttons & 1)) return;
  emit((e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
}"""

# Sends the position where the pointer was let go.
RELEASE = """(e) => {
  const box = e.currentTarget.getBoundingClientRect();
  emit((e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
}"""

# Sends arrow keys, on the image alone; elsewhere they scroll the page.
ARROWS = """(e) => {
  if (!e.key.startsWith("Arrow")) return;
  e.preventDefault();
  emit(e.key.slice(5));
}"""

# Browsers offer `navigator.clipboard` to local and HTTPS pages only.
COPY = """
(async (text) => {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
})(%s)
"""
