"""The style sheet of a release's page: the reader's own choice of light or dark, and colours that differ for those who
see red and green alike (Okabe and Ito, Color Universal Design, 2008)."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5b6169; --ground: #ffffff; --rule: #d9dce0; --card: #f5f6f8;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #a07800; --c5: #3a8fbd;
  --good: #00704f; --bad: #b3261e; --open: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e9ec; --dim: #a3a9b2; --ground: #15171a; --rule: #363b42; --card: #1e2125;
    --c0: #56b4e9; --c1: #ff8c42; --c2: #2fd0a0; --c3: #e8a3c8; --c4: #e6c229; --c5: #9ad1f0;
    --good: #4cd3a5; --bad: #ff8a80; --open: #f0b849; }
}
* { box-sizing: border-box; }
body { max-width: 980px; margin: 0 auto; padding: 24px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 28px 0 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
body > dl { background: var(--card); border-left: 4px solid var(--c0); padding: 12px 16px; border-radius: 4px; }
body > dl.promoted, body > dl.promoting { border-color: var(--good); }
body > dl.rolling_back, body > dl.rolled_back, body > dl.aborted { border-color: var(--bad); }
body > dl.paused { border-color: var(--open); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; padding: 0; margin: 20px 0 0; }
.legend i { display: inline-block; width: 14px; height: 14px; border-radius: 3px; margin-right: 6px;
  vertical-align: -2px; background: var(--colour); }
.legend i.mark { width: 2px; background: var(--dim); margin: 0 12px 0 6px; }
small { color: var(--dim); font-size: 13px; }
svg { width: 100%; height: auto; display: block; }
.c0 { --colour: var(--c0); } .c1 { --colour: var(--c1); } .c2 { --colour: var(--c2); }
.c3 { --colour: var(--c3); } .c4 { --colour: var(--c4); } .c5 { --colour: var(--c5); }
.line { fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; }
.dot { fill: var(--colour); opacity: 0; } .dot:hover, .dot.alone { opacity: 1; }
.grid { stroke: var(--rule); stroke-width: 1; }
.mark { stroke: var(--dim); stroke-width: 1.5; stroke-dasharray: 3 3; }
.tick, .none { fill: var(--dim); font-size: 12px; } .end { text-anchor: end; } .middle, .none { text-anchor: middle; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { color: var(--dim); font-weight: 600; text-align: left; white-space: nowrap; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
td.pass { color: var(--good); font-weight: 600; } td.fail { color: var(--bad); font-weight: 600; }
td.inconclusive { color: var(--open); font-weight: 600; }
"""
