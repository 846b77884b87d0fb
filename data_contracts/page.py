"""The look of the contract report: a template and its style, nothing fetched from outside."""

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Contract of {{ contract }}: {{ verdict.text }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root { --ink: #1d2733; --soft: #5b6673; --line: #e3e7ec; --accent: #1f5fa8;
        --ok: #1c7c4a; --warn: #b86a00; --stop: #b3261e }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #f6f7f9; margin: 0 }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px }
h1 { font-size: 25px; margin: 0 } h2 { font-size: 17px; margin: 0 0 8px }
p { margin: 0 0 10px; color: var(--soft) } small { color: var(--soft) }
section { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px }
section { margin-top: 18px }
.verdict { border-left: 8px solid var(--ok); background: #fff; border-radius: 8px; padding: 18px 22px;
           box-shadow: 0 0 0 1px var(--line) }
.verdict.warn { border-color: var(--warn) } .verdict.stop { border-color: var(--stop) }
.verdict h1 { color: var(--ok) } .verdict.warn h1 { color: var(--warn) }
.verdict.stop h1 { color: var(--stop) }
.verdict p { margin: 4px 0 0; overflow-wrap: anywhere }
.facts { display: flex; flex-wrap: wrap; gap: 6px 34px; margin-top: 14px }
.facts b { display: block; font-size: 21px; font-weight: 650; line-height: 1.25 }
.facts span { color: var(--soft); font-size: 13px }
table { border-collapse: collapse; width: 100%; font-size: 13.5px }
th { text-align: left; color: var(--soft); font-weight: 600 }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child > td { border-bottom: 0 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; background: #f1f3f6; border-radius: 4px;
       padding: 1px 5px; overflow-wrap: anywhere }
.culprit { border-top: 1px solid var(--line); padding: 12px 0 }
.culprit:first-of-type { border-top: 0 } .culprit:last-child { padding-bottom: 0 }
.culprit h3 { font-size: 15px; margin: 0 0 4px; font-weight: 600 }
.culprit .count { color: var(--stop); font-weight: 600 } .warnings .count { color: var(--warn) }
.examples { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 6px; align-items: center }
.examples span { border: 1px solid var(--line); border-radius: 6px; padding: 2px 8px; font-size: 13px }
.bar { background: #e8eef6; height: 8px; border-radius: 4px; min-width: 90px; margin-top: 7px }
.bar i { display: block; height: 8px; border-radius: 4px; background: var(--accent) }
td.cell { text-align: right; font-variant-numeric: tabular-nums; padding-right: 10px; width: 130px }
td.cell small { display: block } td.alarm { color: var(--stop); font-weight: 650 }
.mark { font-weight: 700 } .mark.ok { color: var(--ok) } .mark.warn { color: var(--warn) }
.mark.stop { color: var(--stop) }
.rules td:first-child { white-space: nowrap }
.rules ul { margin: 0; padding: 0; list-style: none }
</style></head><body><main>
<div class="verdict {{ verdict.kind }}"><h1>{{ verdict.text }}</h1>
<p>Contract of {{ contract }}, data set {{ dataset }}: {{ verdict.more }}.<br>{{ subject }}</p>
<div class="facts">
{% for name, value in facts %}<div><b>{{ value }}</b><span>{{ name }}</span></div>{% endfor %}
</div>
</div>

{% macro culprits(findings) %}
{% for finding in findings %}
<div class="culprit"><h3>{% if finding.column %}<code>{{ finding.column }}</code> {% endif %}
Not so: {{ finding.sentence }}</h3>
{% if finding.bad_rows %}<span class="count">{{ finding.bad_rows }}</span>
<small>of {{ finding.rows }} rows</small>{% endif %}
{% if finding.detail %}<div>{{ finding.detail }}</div>{% endif %}
{% if finding.examples %}<div class="examples"><small>for example</small>
{% for example in finding.examples %}<span><code>{{ example.value }}</code> {{ example.where }}</span>
{% endfor %}
{% if finding.more %}<small>and {{ "{:,}".format(finding.more) }} more</small>{% endif %}</div>{% endif %}
</div>
{% endfor %}
{% endmacro %}
{% if stops %}<section><h2>What is broken</h2>{{ culprits(stops) }}</section>{% endif %}
{% if warnings %}
<section class="warnings"><h2>What to look at</h2>{{ culprits(warnings) }}</section>{% endif %}

{% if periods %}<section><h2>Periods</h2>
<table><tr><th>period</th><th>days</th><th class="n">orders</th><th></th><th class="n">known labels</th>
<th class="n">frauds</th><th class="n">fraud rate</th><th class="n">history against training</th></tr>
{% for period in periods %}<tr><td>{{ period.name }}</td><td>{{ period.span }}</td>
<td class="n">{{ period.orders }}</td><td><div class="bar"><i style="width:{{ period.bar }}%"></i></div></td>
<td class="n">{{ period.known }}</td><td class="n">{{ period.frauds }}</td>
<td class="n">{{ period.rate }}</td><td class="n">{{ period.history }}</td></tr>
{% endfor %}</table></section>{% endif %}

{% for table in tables %}<section><h2>{{ table.title }}</h2>
<table><tr>{% for name in table.columns %}<th{% if not loop.first %} class="n"{% endif %}>{{ name }}</th>
{% endfor %}</tr>
{% for row in table.rows %}<tr>
{% for value in row %}<td{% if not loop.first %} class="n"{% endif %}>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table></section>{% endfor %}

{% if drift.rows %}<section><h2>Drift from the training period</h2>
<p>Population stability index per feature, the least steady first; warned of above {{ drift.psi }} unless
chance explains it, and above {{ drift.unknown }} of orders with a category unknown to training.</p>
<table><tr><th>feature</th>{% for period in drift.periods %}<th class="n">{{ period }}</th>{% endfor %}</tr>
{% for row in drift.rows %}<tr><td><code>{{ row.feature }}</code></td>
{% for cell in row.cells %}<td class="cell{% if cell.alarm %} alarm{% endif %}"
style="background:rgba(179,38,30,{{ 0.22 * cell.shade }})">{{ cell.psi }}
{% if cell.unknown %}<small>{{ cell.unknown }}</small>{% endif %}</td>
{% endfor %}</tr>
{% endfor %}</table></section>{% endif %}

<section class="rules"><h2>Every rule</h2><table>
{% for column, findings in rules %}<tr><td><code>{{ column }}</code></td><td><ul>
{% for finding in findings %}<li>{% if finding.passed %}<span class="mark ok">✓</span>{% else %}
<span class="mark {{ finding.severity }}">✗</span>{% endif %} {{ finding.sentence }}</li>
{% endfor %}</ul></td></tr>
{% endfor %}</table></section>

{% if columns %}<section><h2>Columns</h2>
<table><tr><th>name</th><th>meaning</th><th>type</th><th>unit</th><th>may be missing</th></tr>
{% for column in columns %}<tr><td><code>{{ column.name }}</code></td><td>{{ column.meaning }}</td>
<td>{{ column.dtype }}</td><td>{{ column.unit }}</td><td>{{ "yes" if column.nullable else "no" }}</td></tr>
{% endfor %}</table>
{% if ignored %}<p style="margin-top:12px">Not described and not read:
{% for name in ignored %}<code>{{ name }}</code> {% endfor %}</p>{% endif %}
</section>{% endif %}
</main></body></html>
"""
