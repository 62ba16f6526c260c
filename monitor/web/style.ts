/**
 * The stylesheet: calm, one accent, light and dark. Colours have names by what they are for; every pair of
 * text and ground has a contrast of 4.5 or more.
 *
 * @module
 */
export const STYLE = `
@font-face { font-family: Inter; src: url(./inter.woff2) format("woff2"); font-weight: 100 900; font-display: swap }
@font-face { font-family: Mono; src: url(./mono.woff2) format("woff2"); font-weight: 100 800; font-display: swap }

:root {
  color-scheme: light;
  --ground: #f7f7f5; --surface: #ffffff; --sunken: #f1f1ee; --ink: #17191d; --muted: #5b616b; --line: #e4e4df;
  --accent: #4451c9; --accent-ink: #ffffff; --accent-soft: #ecedfb;
  --ready: #4451c9; --leased: #8f99ea; --delayed: #bdbdb4; --dead: #c2304a;
  --bad: #b3223d; --bad-soft: #fcedf0; --warn: #855400; --warn-soft: #fdf3df; --good: #1d7044;
  --shadow: 0 1px 2px rgb(20 22 30 / 4%), 0 4px 16px rgb(20 22 30 / 4%);
  --room: 1216px;
}
:root[data-theme="dark"] {
  color-scheme: dark;
  --ground: #101114; --surface: #18191d; --sunken: #202227; --ink: #ececef; --muted: #a0a4ae; --line: #2b2d33;
  --accent: #a3adff; --accent-ink: #14162b; --accent-soft: #25284a;
  --ready: #8f9bff; --leased: #565fae; --delayed: #55575f; --dead: #f0657f;
  --bad: #ff8ba0; --bad-soft: #3a1c24; --warn: #ecb95b; --warn-soft: #352a15; --good: #6ccf98;
  --shadow: none;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme="light"]) {
    color-scheme: dark;
    --ground: #101114; --surface: #18191d; --sunken: #202227; --ink: #ececef; --muted: #a0a4ae; --line: #2b2d33;
    --accent: #a3adff; --accent-ink: #14162b; --accent-soft: #25284a;
    --ready: #8f9bff; --leased: #565fae; --delayed: #55575f; --dead: #f0657f;
    --bad: #ff8ba0; --bad-soft: #3a1c24; --warn: #ecb95b; --warn-soft: #352a15; --good: #6ccf98;
    --shadow: none;
  }
}

* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 Inter, system-ui, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
a { color: var(--accent); text-decoration: none }
a:hover { text-decoration: underline }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
a:focus-visible, summary:focus-visible { border-radius: 4px }
code, pre, kbd, .mono { font-family: Mono, ui-monospace, monospace; font-size: 13px; font-variant-ligatures: none }
h1, h2, h3 { margin: 0; font-weight: 620; letter-spacing: -.012em; line-height: 1.25 }
h1 { font-size: 25px; letter-spacing: -.02em; overflow-wrap: anywhere }
h2 { font-size: 16px }
h3 { font-size: 14px }
p { margin: 0 }
.muted { color: var(--muted) }
.small { font-size: 13px }
.bad { color: var(--bad) } .warn { color: var(--warn) } .good { color: var(--good) }
.nowrap { white-space: nowrap }
.right { text-align: right }
.grow { flex: 1 }
.js .no-js, html:not(.js) .only-js { display: none !important }
.skip { position: absolute; left: -999px; top: 8px; background: var(--surface); padding: 8px 14px; z-index: 10 }
.skip:focus { left: 8px }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }

/* The frame */
.top { background: var(--surface); border-bottom: 1px solid var(--line) }
.top > div, main { max-width: var(--room); margin: 0 auto; padding: 0 24px }
.top > div { display: flex; align-items: center; gap: 28px; height: 56px }
.brand { display: flex; align-items: center; gap: 10px; font-weight: 620; color: var(--ink); letter-spacing: -.01em; white-space: nowrap }
.brand:hover { text-decoration: none }
.brand svg { width: 24px; height: 24px; display: block }
nav.main { display: flex; gap: 4px; flex: 1; min-width: 0; overflow-x: auto; scrollbar-width: none }
nav.main a { color: var(--muted); padding: 6px 11px; border-radius: 8px; font-weight: 500; white-space: nowrap; font-size: 14px }
nav.main a:hover { color: var(--ink); text-decoration: none; background: var(--sunken) }
nav.main a[aria-current] { color: var(--ink); background: var(--sunken) }
.side { display: flex; align-items: center; gap: 12px; font-size: 13px; color: var(--muted) }
#live-state { display: flex; align-items: center; gap: 7px; white-space: nowrap }
#live-state i { width: 8px; height: 8px; border-radius: 50%; background: var(--delayed) }
#live-state[data-state="on"] i { background: var(--good) }
#live-state[data-state="off"] i { background: var(--bad) }
.icon { border: 0; background: none; color: var(--muted); padding: 6px; border-radius: 8px; cursor: pointer; display: flex }
.icon:hover { background: var(--sunken); color: var(--ink) }
.icon svg { width: 18px; height: 18px; display: block }
main { padding-top: 32px; padding-bottom: 56px; min-height: calc(100vh - 140px) }
footer { width: min(var(--room) - 48px, 100% - 48px); margin: 0 auto; padding: 18px 0 28px; color: var(--muted); font-size: 13px; display: flex; gap: 8px 20px; flex-wrap: wrap; border-top: 1px solid var(--line) }
footer kbd { background: var(--surface); border: 1px solid var(--line); border-radius: 5px; padding: 0 5px; font-size: 12px }

/* Headings of pages */
.head { display: flex; align-items: flex-start; gap: 16px; flex-wrap: wrap; margin-bottom: 22px }
.head > div:first-child { flex: 1; min-width: 240px }
.head p { color: var(--muted); margin-top: 4px }
.crumbs { font-size: 13px; color: var(--muted); margin-bottom: 6px; overflow-wrap: anywhere }
.tabs { display: flex; gap: 2px; border-bottom: 1px solid var(--line); margin-bottom: 22px; overflow-x: auto; scrollbar-width: none }
.tabs a { padding: 9px 13px; color: var(--muted); border-bottom: 2px solid transparent; margin-bottom: -1px; font-weight: 500; font-size: 14px; white-space: nowrap }
.tabs a:hover { color: var(--ink); text-decoration: none }
.tabs a[aria-current] { color: var(--ink); border-color: var(--accent) }
.tabs b { font-weight: 500; color: var(--muted); margin-left: 5px; font-size: 13px }

/* Surfaces */
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow) }
.card > header { display: flex; align-items: baseline; gap: 12px; padding: 16px 20px 0 }
.card > header > :first-child { flex: 1 }
.card .body { padding: 16px 20px 20px }
.body > .scroll { border-radius: 0 }
.stack { display: grid; gap: 20px; grid-template-columns: minmax(0, 1fr) }
#live + * { margin-top: 20px }
h1 .badge { margin-left: 4px }
details.help { margin-bottom: 14px }
details.help dl { margin-top: 8px }
.columns { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); gap: 20px; align-items: start }
.note { border-radius: 12px; padding: 13px 18px; background: var(--sunken); margin-bottom: 20px; overflow-wrap: anywhere }
.note.bad { background: var(--bad-soft) } .note.warn { background: var(--warn-soft) }
.note a { color: inherit; text-decoration: underline }
.note ul { margin: 4px 0 0; padding-left: 18px }
.empty { text-align: center; padding: 56px 24px; color: var(--muted) }
.empty svg { width: 44px; height: 44px; color: var(--delayed); margin-bottom: 14px }
.empty h1, .empty h2 { font-size: 17px }
.empty h1, .empty h2 { color: var(--ink); margin-bottom: 6px }
.empty p { max-width: 560px; margin: 0 auto }
.empty pre { display: inline-block; text-align: left; margin: 18px 0 0; max-width: 100% }
.badge { display: inline-block; font-size: 12px; line-height: 20px; font-weight: 530; padding: 0 8px; border-radius: 6px; background: var(--sunken); color: var(--muted); vertical-align: middle; letter-spacing: 0; white-space: nowrap }
.badge.warn { background: var(--warn-soft); color: var(--warn) } .badge.bad { background: var(--bad-soft); color: var(--bad) }
.badge.accent { background: var(--accent-soft); color: var(--accent) } .badge.good { color: var(--good) }
td .muted a, .consumer a { text-decoration: underline }
.progress { display: inline-flex; align-items: center; gap: 8px } .progress progress { width: 72px }

/* Overview */
.totals { display: flex; flex-wrap: wrap; gap: 6px 26px; color: var(--muted); margin-top: 6px }
.totals b { color: var(--ink); font-weight: 600 }
.queues { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); gap: 18px; list-style: none; margin: 0; padding: 0 }
.queue { position: relative; padding: 18px 20px; display: flex; flex-direction: column; gap: 14px; transition: border-color .12s }
.queue:hover { border-color: var(--accent) }
.queue h2 { display: flex; gap: 9px; align-items: center; font-size: 15px; min-width: 0 }
.queue h2 a { color: var(--ink); overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.queue h2 a::after { content: ""; position: absolute; inset: 0; border-radius: 14px }
.queue h2 a:focus-visible { outline: none } .queue h2 a:focus-visible::after { outline: 2px solid var(--accent); outline-offset: 2px }
.queue .front { display: flex; justify-content: space-between; align-items: flex-end; gap: 16px }
.figure { font-size: 32px; font-weight: 600; letter-spacing: -.03em; line-height: 1.05 }
.figure + span { color: var(--muted); font-size: 13px }
.spark { width: 132px; height: 38px; color: var(--ready); display: block }
.bar { display: block; width: 100%; height: 8px; border-radius: 4px; background: var(--sunken); overflow: hidden }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--muted) }
.legend a, .legend span { color: var(--muted); position: relative; z-index: 1; display: inline-flex; gap: 6px; align-items: center }
.legend b { color: var(--ink); font-weight: 560 }
.legend b.bad, .tile b.bad { color: var(--bad) }
.dot { width: 8px; height: 8px; border-radius: 3px; flex: none }
.ready { background: var(--ready); fill: var(--ready) } .leased { background: var(--leased); fill: var(--leased) }
.delayed { background: var(--delayed); fill: var(--delayed) } .dead { background: var(--dead); fill: var(--dead) }
.facts { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0 12px; border-top: 1px solid var(--line); padding-top: 12px; font-size: 13px; margin: 0 }
.facts dt { color: var(--muted); font-size: 12px; grid-row: 1; cursor: help; position: relative; z-index: 1 }
.facts dd { margin: 0; font-weight: 540; white-space: nowrap; grid-row: 2 }

/* A queue */
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 14px; margin-bottom: 20px }
.tile { padding: 15px 18px; color: var(--ink); display: block }
.tile:hover { text-decoration: none; border-color: var(--accent) }
.tile span { color: var(--muted); font-size: 13px; display: flex; gap: 7px; align-items: center }
.tile .figure { font-size: 26px; margin-top: 4px; display: block }
.tile small { color: var(--muted); font-size: 13px; display: block; margin-top: 2px; min-height: 20px }
dl.pairs { display: grid; grid-template-columns: auto 1fr; gap: 7px 18px; margin: 0; font-size: 14px }
dl.pairs dt { color: var(--muted) }
dl.pairs dd { margin: 0; text-align: right; overflow-wrap: anywhere }
dl.pairs.left dd { text-align: left }
table.sums th { border: 0; padding: 0 }
table.sums td { border: 0; padding-top: 3px; padding-bottom: 4px }
table.sums td:first-child { color: var(--muted) }
table.sums td:nth-child(3) { width: 64px }
table.groups-of { table-layout: fixed; min-width: 640px }
table.groups-of th:nth-child(1) { width: 18% } table.groups-of th:nth-child(2) { width: 10% } table.groups-of th:nth-child(3) { width: 15% } table.groups-of th:nth-child(4) { width: 20% }
figure { margin: 0 }
.plot { min-height: 200px } html:not(.js) .plot { display: none }
.plot .u-legend, .plot .u-legend tbody { display: flex; flex-wrap: wrap; gap: 0 14px }
.plot .u-legend { font-size: 13px; text-align: left; padding: 8px 0 0 46px; color: var(--muted) }
.plot .u-legend .u-series:first-child { order: 1 }
.plot:not(:hover) .u-legend .u-series:first-child { visibility: hidden }
.plot:not(:hover) .u-inline.u-live th::after { content: none }
.plot:not(:hover) .u-legend .u-value { display: none }
.plot .u-legend .u-value { color: var(--ink); font-weight: 550; min-width: 34px; display: inline-block }
.plot .u-legend .u-marker { border-radius: 3px; width: 12px; height: 3px; border-width: 2px }
.plot td, .plot th { border: 0; padding: 2px 8px 2px 0; font-size: 13px } .plot tr:hover { background: none }
.plot .u-series:first-child { min-width: 70px } .uplot, .uplot *, .uplot *::before, .uplot *::after { font-family: inherit }
.plot .u-cursor-x, .plot .u-cursor-y { border-color: var(--muted) }
.fallback { width: 100%; height: 120px } .js .fallback { display: none }

/* Tables */
.scroll { overflow-x: auto; border-radius: 14px }
table { width: 100%; border-collapse: collapse; font-size: 14px }
th { text-align: left; font-weight: 500; color: var(--muted); font-size: 12.5px; padding: 11px 14px; white-space: nowrap; border-bottom: 1px solid var(--line) }
td { padding: 10px 14px; border-bottom: 1px solid var(--line); vertical-align: baseline }
tbody tr:last-child td { border-bottom: 0 }
tbody tr:hover { background: color-mix(in srgb, var(--sunken) 55%, transparent) }
tbody tr:focus-within { background: var(--accent-soft) }
h1.mono { font-size: 20px; letter-spacing: 0 }
h3 span { font-weight: 450 }
.card .body table td:first-child, .card .body table th:first-child { padding-left: 0 }
.card .body table td:last-child, .card .body table th:last-child { padding-right: 0 }
.card > .scroll td:first-child:not(.check), .card > .scroll th:first-child:not(.check) { padding-left: 20px }
.card > .scroll td:last-child, .card > .scroll th:last-child { padding-right: 20px }
.card > .scroll td.check, .card > .scroll th.check { padding-left: 20px }
td.check, th.check { width: 20px; padding-right: 0 }
td .id { font-family: Mono, monospace; font-size: 13px; overflow-wrap: anywhere }
td.error { overflow-wrap: anywhere; min-width: 220px; color: var(--bad) }
td.num, th.num { text-align: right; white-space: nowrap }
td.act { text-align: right; width: 1%; white-space: nowrap }
.consumer { display: flex; gap: 12px; align-items: baseline; padding: 2px 0 }
.bulk { display: flex; gap: 8px; flex-wrap: wrap; align-items: center; padding: 12px 14px; border-bottom: 1px solid var(--line) }
.pages { display: flex; gap: 8px; align-items: center; padding: 14px 2px; color: var(--muted); font-size: 14px; flex-wrap: wrap }

/* Forms */
input[type=search], input[type=password], input[type=number], select {
  font: inherit; font-size: 14px; color: var(--ink); background: var(--surface); border: 1px solid color-mix(in srgb, var(--muted) 55%, var(--line)); border-radius: 9px; padding: 8px 12px; min-width: 0 }
input[type=checkbox] { width: 16px; height: 16px; margin: 0; vertical-align: -2px; accent-color: var(--accent) }
.search { display: flex; gap: 8px; margin-bottom: 16px; flex-wrap: wrap }
.head .search { flex-wrap: nowrap; margin: 0 }
.search input { flex: 1 1 240px; font-family: Mono, Inter, monospace; font-size: 13px }
button, .button {
  font: inherit; font-size: 14px; font-weight: 530; border: 1px solid color-mix(in srgb, var(--muted) 35%, var(--line)); background: var(--surface); color: var(--ink); border-radius: 9px; padding: 7px 14px; cursor: pointer; display: inline-block; white-space: nowrap }
button:hover, .button:hover { background: var(--sunken); text-decoration: none }
button.slim { font-size: 13px; padding: 2px 10px; border-radius: 7px }
button:active:enabled { transform: translateY(1px) }
button[aria-busy] { opacity: .6; cursor: progress }
button:disabled { color: var(--muted); cursor: default; background: none }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--accent-ink) }
button.primary:hover { background: color-mix(in srgb, var(--accent) 88%, var(--ink)) }
button.danger:enabled { color: var(--bad) }
.spark.idle { color: var(--delayed) }
.card + .note, #does { margin-top: 20px }
button.primary.danger:enabled { background: var(--bad); border-color: var(--bad); color: var(--surface) }
button.icon { border: 0; background: none; color: var(--muted); padding: 6px }
button.link { border: 0; background: none; color: var(--accent); padding: 2px 4px; font-size: 13px }
form.inline { display: inline }
label.field { display: grid; gap: 5px; font-size: 13px; color: var(--muted) }
.actions input[type=number] { width: 120px } .actions input, .actions select, .actions button { height: 38px }
.actions { display: flex; gap: 10px; flex-wrap: wrap; align-items: end }
.actions .button, .bulk .button { height: 38px }
progress { appearance: none; border: 0; width: 100%; height: 10px; border-radius: 5px; background: var(--sunken); overflow: hidden; display: block }
progress::-webkit-progress-bar { background: var(--sunken) }
progress::-webkit-progress-value { background: var(--accent); transition: width .3s } progress::-moz-progress-bar { background: var(--accent) }
details > summary { cursor: pointer; color: var(--muted); font-size: 13px; padding: 3px 0 }
details > summary:hover { color: var(--ink) }
pre { margin: 8px 0 0; padding: 13px 15px; background: var(--sunken); border-radius: 10px; overflow-x: auto; line-height: 1.55; white-space: pre-wrap; overflow-wrap: anywhere }
pre .key { color: var(--accent) } pre .text { color: var(--good) } pre .value { color: var(--warn) }
ol.attempts { list-style: none; margin: 0; padding: 0 }
ol.attempts li { border-left: 2px solid var(--line); padding: 0 0 18px 18px; position: relative; margin-left: 5px }
ol.attempts li::before { content: ""; position: absolute; left: -6px; top: 6px; width: 10px; height: 10px; border-radius: 50%; background: var(--dead); border: 2px solid var(--surface) }
ol.attempts li:last-child { padding-bottom: 0; border-color: transparent }
ul.plain { list-style: none; margin: 0; padding: 0 }
ul.plain > li + li { border-top: 1px solid var(--line); padding-top: 12px; margin-top: 12px }
.keys code { overflow-wrap: anywhere }
.groups .group { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 10px 20px; padding: 16px 20px; align-items: center }
.groups .group + .group { border-top: 1px solid var(--line) }
.groups h2 { font: 500 13.5px/1.5 Mono, monospace; overflow-wrap: anywhere; letter-spacing: 0 }
.groups .share { grid-column: 1 / -1; height: 4px; width: 100%; display: block; border-radius: 2px; background: var(--sunken) }
.door { max-width: 380px; margin: 12vh auto 0 }

/* A wall: four cards in a row. */
@media (min-width: 1680px) { :root { --room: 1584px } }
@media (max-width: 860px) {
  .columns { grid-template-columns: minmax(0, 1fr) }
  .tiles { grid-template-columns: 1fr 1fr }
}
@media (max-width: 640px) {
  .top > div, main { padding-left: 16px; padding-right: 16px }
  footer { width: calc(100% - 32px) }
  .top > div { flex-wrap: wrap; height: auto; gap: 0 12px; padding-top: 10px }
  .brand { flex: 1 }
  nav.main { order: 3; flex-basis: 100%; margin: 6px -8px; padding-bottom: 4px; justify-content: space-between; gap: 0 }
  nav.main a { padding: 6px 8px; font-size: 13.5px }
  main { padding-top: 22px }
  h1 { font-size: 22px }
  .wide { display: none }
  td, th { padding-left: 10px; padding-right: 10px }
  /* A row is a small card: what it is, and when, and below it why. */
  .rows thead { display: none }
  .rows tr { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; padding: 10px 14px; gap: 2px 10px; border-bottom: 1px solid var(--line) }
  .rows tbody tr:last-child { border: 0 }
  .rows td { border: 0; padding: 0 }
  .card > .scroll .rows td, .card > .scroll .rows td.check { padding: 0 }
  .rows td.tried { display: none }
  .rows td.name { grid-column: 2 }
  .rows td.when { grid-column: 3; grid-row: 1; color: var(--muted) }
  .rows td.why { grid-column: 2 / -1; min-width: 0 }
  .groups .group { grid-template-columns: minmax(0, 1fr) }
  .card > header { flex-wrap: wrap }
  /* The same for tables that have no checkboxes: what it is and its button, and below it the rest by name. */
  .stacked thead { display: none }
  .stacked tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: 3px 16px; padding: 12px 20px; border-bottom: 1px solid var(--line) }
  .stacked tbody tr:last-child { border: 0 }
  .body .stacked tr { padding: 12px 0 0 }
  .scroll .stacked td:not(.check) { border: 0; padding: 0; text-align: left; width: auto; order: 2 }
  .scroll .stacked td:first-child:not(.check) { flex: 1 1 55%; padding: 0; order: 0 }
  .scroll .stacked td.act { order: 1 }
  .scroll .stacked td.whole { flex-basis: 100% }
  .scroll .stacked td.wide { display: none }
  .stacked td[data-label]::before { content: attr(data-label) " "; color: var(--muted); font-size: 13px }
  .stacked td > div:not(.wide):not(.consumer) { display: inline-block; margin-right: 10px }
  .consumer { flex-wrap: wrap }
  table.groups-of { table-layout: auto; min-width: 0 }
  .keys .scroll .stacked tr { padding: 10px 0 }
  .keys .scroll .stacked td:first-child:not(.check) { flex-basis: 100% }
  .tile { padding: 12px 14px }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important } }
`;
