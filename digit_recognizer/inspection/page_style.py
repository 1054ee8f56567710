"""How a report looks: one style sheet, for light and dark, for phone, desk and paper.

Every text colour stands at 4.5 : 1 or more against its ground (WCAG 2.2, AA). Figures are drawn on white, so they lie
on white cards in the dark as well. A figure whose link was followed fills the window, by `:target`, without a script.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf7; --text: #1c1b19; --quiet: #57534c; --line: #d9d5cc; --link: #0b5394; --panel: #f1eee7;
  --alarm: #8f1d14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #16181b; --text: #e9e6df; --quiet: #b4b0a7; --line: #3b3e44; --link: #8fc1f5; --panel: #202328;
    --alarm: #ffb3a8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--ground); color: var(--text); overflow-wrap: anywhere;
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
}
.page { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.125rem 4rem; }
p, ul, ol, dl { max-width: 44rem; margin: 0 0 1rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; text-wrap: balance; }
h2 {
  font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line);
}
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.quiet { color: var(--quiet); }
.alarm { color: var(--alarm); font-weight: 600; }
nav { background: var(--panel); border-radius: .5rem; padding: 1rem 1.25rem; margin: 1.5rem 0 0; }
nav h2 { font-size: 1rem; margin: 0 0 .5rem; padding: 0; border: 0; }
nav ol { margin: 0; padding-left: 1.5rem; max-width: none; }
nav li { padding: .2rem 0; break-inside: avoid; }
@media (min-width: 48rem) { nav ol { columns: 2; column-gap: 2.5rem; } }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1.25rem 0;
  max-width: none;
}
.facts div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.facts dt { color: var(--quiet); font-size: .875rem; line-height: 1.35; }
.facts dd { margin: .25rem 0 0; font-size: 1.15rem; line-height: 1.25; font-weight: 600; }
.scroll {
  overflow-x: auto; width: fit-content; max-width: 100%; margin: 0 0 1.25rem; border: 1px solid var(--line);
  border-radius: .5rem;
}
@media (min-width: 64rem) { .scroll { max-width: calc(50vw + 28.5rem); } }  /* into the right margin */
table { border-collapse: collapse; font-size: .9375rem; line-height: 1.4; }
th, td { padding: .4rem .65rem; text-align: left; vertical-align: top; overflow-wrap: normal; }
td { font-variant-numeric: tabular-nums; }
thead th { background: var(--panel); font-weight: 600; vertical-align: bottom; }
tbody tr + tr :is(td, th) { border-top: 1px solid var(--line); }
tbody th { font-weight: 400; }
td.short { white-space: nowrap; }
.number { text-align: right; }
.long { min-width: 11rem; max-width: 22rem; overflow-wrap: anywhere; }
code { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre { margin: 0; padding: .75rem 1rem; font: .8125rem/1.3 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
details { margin: 0 0 1rem; }
summary { cursor: pointer; padding: .35rem 0; font-weight: 600; }
figure { margin: 0 0 1.75rem; }
figure .card {
  display: block; background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem;
  width: fit-content; max-width: 100%; cursor: zoom-in;
}
figure img { display: block; max-width: 100%; height: auto; }
figcaption { max-width: 44rem; margin-top: .5rem; color: var(--quiet); font-size: .9375rem; line-height: 1.5; }
.close { display: none; }
figure:target {
  position: fixed; inset: 0; z-index: 1; margin: 0; padding: 3.75rem 1rem 1rem; overflow: auto;
  background: var(--ground);
}
figure:target .card { max-width: none; cursor: auto; }
figure:target img { max-width: none; }
figure:target .close {
  display: block; position: fixed; top: .75rem; right: .75rem; padding: .6rem 1.1rem; border-radius: .5rem;
  background: var(--text); color: var(--ground); text-decoration: none; font-weight: 600; line-height: 1.3;
}
@media print {
  nav, .close { display: none; }
  figure, tr { break-inside: avoid; }
}
"""
