/**
 * The watch page's stylesheet: for a projector, so large, of strong contrast, and calm but for what moves.
 *
 * @module
 */
export const STYLE = `
@font-face { font-family: Inter; src: url(inter.woff2) format("woff2"); font-weight: 100 900; font-display: swap }
@font-face { font-family: Mono; src: url(mono.woff2) format("woff2"); font-weight: 100 800; font-display: swap }

:root {
  color-scheme: light dark;
  --ground: light-dark(#f5f3ee, #121316); --surface: light-dark(#ffffff, #1b1d22);
  --sunken: light-dark(#ebe8e0, #24272d); --line: light-dark(#dcd8cd, #33363e);
  --ink: light-dark(#16181c, #f1f1ee); --muted: light-dark(#5d6068, #a6a9b2);
  --accent: light-dark(#c73a20, #ff8064); --good: light-dark(#17714a, #63d09b);
  --shade: light-dark(rgb(30 25 10 / 12%), rgb(0 0 0 / 45%)); --shadow: 0 1px 3px var(--shade);
  --h0: light-dark(#2b57c5, #8fb0ff); --h1: light-dark(#a03a92, #ef9fe2); --h2: light-dark(#17714a, #63d09b);
  --h3: light-dark(#9a5b00, #f0b55c); --h4: light-dark(#0b6f86, #64cfe6); --h5: light-dark(#7048c9, #bfa4ff);
}
* { box-sizing: border-box }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 17px/1.4 Inter, system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
code { font-family: Mono, ui-monospace, monospace; font-variant-ligatures: none }
h1, h2, h3, p, ol, ul { margin: 0; padding: 0 }
ol, ul { list-style: none }
header { display: flex; align-items: baseline; gap: 20px; padding: 18px 28px 0 }
header h1 { font-size: 30px; font-weight: 680; letter-spacing: -.022em }
header p { color: var(--muted); font-size: 14px }
.pace { position: absolute; top: 22px; right: 28px; color: var(--muted); font-size: 15px }
.pace b { color: var(--ink); font-size: 22px; font-weight: 650; margin-right: 3px }
.pace em { font-style: normal; color: var(--accent); font-weight: 600; margin-left: 12px }

#scene {
  display: grid; grid-template-columns: minmax(0, 1fr) minmax(350px, 31vw); gap: 18px 22px; padding: 16px 28px 28px;
  grid-template-areas: "structures commands" "boxes commands"; grid-template-rows: auto 1fr; align-items: start;
}
.structures { grid-area: structures; display: grid; grid-template-columns: minmax(0, 1fr); gap: 16px }
.boxes { grid-area: boxes; display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 14px; align-items: start }
#commands { grid-area: commands }

.panel { background: var(--surface); border: 1px solid var(--line); border-radius: 16px; padding: 14px 18px 18px; box-shadow: var(--shadow) }
.panel h2, #commands h2 { display: flex; align-items: baseline; gap: 11px; font-size: 16px; font-weight: 500 }
.panel h2 code { font-size: 18px; font-weight: 600; overflow-wrap: anywhere }
h2 i { font: 700 12px/1 Inter, sans-serif; letter-spacing: .09em; color: var(--accent) }
.panel h2 .count { margin-left: auto; color: var(--muted); font-size: 15px; white-space: nowrap }
.panel h2 .count b { color: var(--ink); font-size: 26px; font-weight: 680; letter-spacing: -.02em }
.quiet p { color: var(--muted); padding: 26px 0 18px; font-size: 20px; text-align: center }
.nothing, .more, .end { color: var(--muted); font-size: 15px; white-space: nowrap }

/* A card */
.card {
  --hue: var(--h0); position: relative; flex: none; background: var(--surface); color: var(--ink);
  border: 2px solid var(--hue); border-radius: 10px; padding: 7px 12px 7px 16px; font-size: 16px; font-weight: 560;
  box-shadow: inset 5px 0 0 var(--hue), var(--shadow); white-space: nowrap;
  max-width: 100%; overflow: hidden; text-overflow: ellipsis; view-transition-class: card;
}
.hue1 { --hue: var(--h1) } .hue2 { --hue: var(--h2) } .hue3 { --hue: var(--h3) } .hue4 { --hue: var(--h4) } .hue5 { --hue: var(--h5) }
.card b { font-size: 12px; font-weight: 600; color: var(--muted); margin-left: 8px }
.card small { display: block; font-size: 12.5px; font-weight: 600; color: var(--accent) }
.card.read { opacity: .45; border-style: dashed }
.card.lost { border-style: dashed; border-color: var(--accent); color: var(--muted) }
.card.lost > span { text-decoration: line-through }
.card.faded { opacity: .4 }

/* LIST: a conveyor */
.belt { display: flex; align-items: center; gap: 12px; margin-top: 12px; padding: 13px 14px; border-radius: 12px; background: repeating-linear-gradient(90deg, var(--sunken) 0 26px, color-mix(in srgb, var(--sunken) 88%, var(--ink)) 26px 28px) }
.belt ol { display: flex; flex: 1; min-width: 0; gap: 10px; justify-content: flex-end; min-height: 42px; align-items: center; overflow: hidden; direction: rtl; flex-direction: row-reverse; padding: 2px }
.belt li { direction: ltr }
.belt .end { font-weight: 650; color: var(--ink) }

/* ZSET: a ladder */
.ladder { margin-top: 12px; position: relative; padding: 4px 0 }
.rung { display: grid; grid-template-columns: 118px 1fr; align-items: center; min-height: 46px; border-left: 3px solid var(--line); border-bottom: 1px solid var(--line); padding-left: 14px }
.rung:last-child { border-bottom: 0 }
.rung ol { display: flex }
.rung .score { font: 500 15px/1 Mono, monospace; color: var(--muted) }
.now { height: 0; position: relative; border-top: 3px solid var(--accent); z-index: 2; margin: 8px 0 }
.now span { position: absolute; right: 0; top: -13px; background: var(--accent); color: var(--surface); font-weight: 680; font-size: 14px; line-height: 1; padding: 5px 11px; border-radius: 20px }

/* STREAM: a ribbon */
.ribbon { display: flex; align-items: flex-start; gap: 12px; margin-top: 12px; overflow: hidden }
.ribbon > .more { padding-top: 11px }
.ribbon > ol { display: flex; flex: 1; min-width: 0; justify-content: flex-start; border-top: 3px solid var(--line); padding-top: 12px }
.link { padding-right: 12px; position: relative; min-width: 0 }
.link > code { display: block; font-size: 12px; color: var(--muted); margin: 5px 0 0 4px }
.link .cursor { display: block; width: max-content; margin-top: 7px; background: var(--good); color: var(--surface); font-weight: 640; font-size: 13.5px; line-height: 1; padding: 5px 10px; border-radius: 6px; position: relative }
.cursor::before { content: ""; position: absolute; left: 12px; top: -6px; border: 6px solid transparent; border-top: 0; border-bottom-color: var(--good) }
.cursor.reader { background: var(--muted) } .cursor.reader::before { border-bottom-color: var(--muted) }
.trays { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 12px; margin-top: 14px }
.tray { background: var(--sunken); border: 2px solid var(--line); border-top: 0; border-radius: 4px 4px 14px 14px; padding: 10px 14px 14px }
.tray h3 code { white-space: nowrap; font: inherit }
.tray h3 { display: flex; gap: 8px; align-items: baseline; font-size: 16px; font-weight: 640; margin-bottom: 9px; overflow-wrap: anywhere }
.tray h3 small { color: var(--muted); font-weight: 500; font-size: 13px }
.tray h3 b { margin-left: auto; font-size: 13px; font-weight: 600; color: var(--muted); white-space: nowrap }
.tray ol, .grave { display: flex; flex-wrap: wrap; gap: 8px }
.grave { margin-top: 12px }
.dead { border-color: var(--accent) } .grave .card { filter: saturate(.35) }

/* Pub/sub: a fan */
.fan { display: grid; grid-template-columns: minmax(220px, 1fr) 110px minmax(260px, 1.4fr); align-items: center; margin-top: 12px; transition: opacity .4s }
.mouth { display: grid; justify-items: end; align-content: center; gap: 8px; min-height: 120px }
.mouth .stacked { position: absolute; visibility: visible }
.mouth { position: relative; padding-right: 14px }
.mouth .nothing { font: 700 13px/1 Inter, sans-serif; letter-spacing: .06em; color: var(--muted); border: 2px dashed var(--line); border-radius: 10px; padding: 11px 16px }
.mouth .card:not(.lost) { grid-area: 1 / 1; position: relative }
.rays { align-self: stretch; min-height: 120px; background: conic-gradient(from 60deg at 0 50%, transparent 0 6deg, color-mix(in srgb, var(--accent) 26%, transparent) 6deg 54deg, transparent 54deg) }
.deaf .rays { opacity: .22 }
.ears { display: grid; gap: 10px }
.ears > li { background: var(--sunken); border-radius: 12px; padding: 9px 13px 11px; min-height: 66px; display: grid; grid-template-columns: 124px 1fr; gap: 10px; align-items: center }
.ears h3 { font-size: 15px; font-weight: 640; overflow-wrap: anywhere }
.ears ol { display: flex; gap: 8px; overflow: hidden; padding: 2px }
.ears .card + .card { opacity: .4 }
.ears .nobody { display: block; color: var(--muted); background: none; border: 2px dashed var(--line); text-align: center; padding-top: 20px }

/* Workers */
.box { display: grid; grid-template-columns: 54px 1fr; gap: 14px; background: var(--surface); border: 1px solid var(--line); border-radius: 16px; padding: 14px 16px; box-shadow: var(--shadow); min-height: 96px; view-transition-class: box }
.box h3 { font-size: 18px; font-weight: 660; letter-spacing: -.01em }
.box p { color: var(--muted); font-size: 14.5px }
.box > div { min-width: 0 }
.box ol { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 9px }
.box svg { width: 54px; height: 54px }
.box circle { fill: none; stroke-width: 4; transform: rotate(-90deg); transform-origin: center }
.box .track { stroke: var(--line) }
.box .left { stroke: var(--good); stroke-linecap: round; transition: stroke-dashoffset 1s linear, stroke .3s }
.box .late .left { stroke: var(--accent) }
.box text { font: 660 13px Inter, sans-serif; text-anchor: middle; fill: var(--muted) }
.box.busy text { fill: var(--ink) }
.box.gone { border: 2px dashed var(--accent); opacity: .75 } .box.gone text { fill: var(--accent) }

/* The commands */
#commands { background: light-dark(#1d1f24, #0b0c0e); color: #e9e9e4; border-radius: 16px; padding: 16px 18px 18px; min-height: calc(100vh - 112px); align-self: stretch }
#commands h2 { color: #a9acb4; font-size: 14.5px; margin-bottom: 10px } #commands h2 i { color: #ff8064 }
#commands li { font-size: 13.5px; line-height: 1.42; padding: 1.5px 0; overflow: hidden; display: flex; gap: 9px; align-items: baseline }
#commands li code { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
#commands li small { flex: none; color: #9a9ea8; font-size: 12px; min-width: 74px; max-width: 96px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
#commands li b { color: #ffb65c; font-weight: 650; margin-left: auto }
#commands li:last-child code { color: #fff; font-weight: 640 }
#commands .lua { border-left: 2px solid #43464f; margin-left: 83px; padding-left: 12px } #commands .lua code { color: #93b5ff; font-weight: 450 }
#commands .lua:last-child code { color: #93b5ff }
#commands .nothing { color: #9a9ea8 }
.totals li { justify-content: space-between; font-size: 17px !important; padding: 4px 0 !important }

/* Counts in the place of cards */
.bar { position: relative; margin-top: 14px; height: 46px; border-radius: 12px; background: var(--sunken); overflow: hidden }
.bar i { position: absolute; inset: 0 auto 0 0; background: color-mix(in srgb, var(--accent) 55%, var(--sunken)); transition: width .24s linear }
.bar b { position: absolute; left: 18px; top: 9px; font-size: 21px; font-weight: 680 }

/* Motion: cards fly, nothing else does */
::view-transition-group(*) { animation-duration: 320ms; animation-timing-function: cubic-bezier(.3, .9, .3, 1) }
::view-transition-old(root), ::view-transition-new(root) { animation: none }
::view-transition-old(root) { display: none }
::view-transition-old(*.card), ::view-transition-new(*.card) { animation-duration: 260ms; height: 100%; width: auto }
::view-transition-group(*.card) { z-index: 5 }
::view-transition-new(*.card):only-child { animation: 300ms arrive ease-out }
::view-transition-old(*.card):only-child { animation: 300ms leave ease-in }
@keyframes arrive { from { opacity: 0; transform: translateX(-36px) scale(.8) } }
@keyframes leave { to { opacity: 0; transform: translateX(30px) scale(.8) } }

@media (max-width: 1000px) {
  #scene { grid-template-columns: minmax(0, 1fr); grid-template-areas: "structures" "boxes" "commands" }
  #commands { min-height: 0 } .pace { position: static; grid-row: 1 }
  .fan { grid-template-columns: 1fr; gap: 10px } .rays { display: none }
}
@media (prefers-reduced-motion: reduce) {
  ::view-transition-group(*), ::view-transition-old(*), ::view-transition-new(*) { animation: none !important }
  * { transition: none !important }
}
`;
