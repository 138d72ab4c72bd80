/** Plots as SVG, for a page in light or in dark. */
import * as vega from "vega"
import * as lite from "vega-lite"
import type { Spread } from "./stats.ts"

const ink = "#1f2328"
const faint = "#d1d9e0"
const paper = "#ffffff"
const inTheDark = { [ink]: "#e6edf3", [faint]: "#3d444d", [paper]: "#0d1117" }

/** They stand out from both papers. */
const colors = {
  gray: "#848d97",
  blue: "#2f81f7",
  purple: "#a371f7",
  green: "#2da44e",
  red: "#e5534b",
  orange: "#c9761b",
  teal: "#1b9aaa",
  brown: "#a0703c"
}
const palette = Object.values(colors)

const config: lite.Config = {
  background: paper,
  padding: 16,
  font: "system-ui, sans-serif",
  title: { color: ink, subtitleColor: ink, fontSize: 15, anchor: "start", offset: 12 },
  axis: { labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint, labelLimit: 0 },
  legend: { labelColor: ink, titleColor: ink, labelLimit: 0, orient: "bottom", columns: 4, title: null },
  header: { labelColor: ink, title: null, labelAnchor: "start", labelFontWeight: "bold", labelLimit: 0 },
  view: { stroke: faint }
}

const render = async (spec: object): Promise<string> => {
  const { spec: compiled } = lite.compile({ ...spec, config } as lite.TopLevelSpec)
  const svg = await new vega.View(vega.parse(compiled), { renderer: "none" }).toSVG()
  const rules = Object.entries(inTheDark).flatMap(([light, dark]) =>
    ["fill", "stroke"].map((attribute) => `[${attribute}="${light}"]{${attribute}:${dark}}`)
  )
  return svg.replace(">", `><style>@media (prefers-color-scheme:dark){${rules.join("")}}</style>`)
}

/** The middle, and the extremes around it. */
interface Measured extends Spread {
  readonly series: string
}

const names = (all: ReadonlyArray<{ readonly series: string }>) => [...new Set(all.map(({ series }) => series))]

/** Side by side, two in a row: what each is on its own scale. Where it is `even`, a line stands. */
export const bars = (
  title: string,
  axis: string,
  groups: ReadonlyArray<{ readonly name: string; readonly values: ReadonlyArray<Measured> }>,
  even?: number
): Promise<string> => {
  const values = groups.flatMap(({ name, values }) => values.map((value) => ({ group: name, ...value })))
  const y = { field: "series", type: "nominal", sort: null, title: null } as const
  return render({
    title,
    data: { values },
    columns: 2,
    facet: { field: "group", type: "nominal", sort: groups.map(({ name }) => name), title: null },
    resolve: { scale: { x: "independent" } },
    spec: {
      width: 250,
      height: { step: 18 },
      layer: [
        {
          mark: { type: "bar", height: 11 },
          encoding: {
            y,
            x: { field: "median", type: "quantitative", title: axis },
            color: {
              field: "series",
              type: "nominal",
              legend: null,
              scale: { domain: names(values), range: names(values).map(familyColor) }
            }
          }
        },
        {
          mark: { type: "rule", color: ink, strokeWidth: 1.5 },
          encoding: { y, x: { field: "min", type: "quantitative" }, x2: { field: "max" } }
        },
        ...even === undefined
          ? []
          : [{ mark: { type: "rule", color: colors.red, strokeDash: [3, 2] }, encoding: { x: { datum: even } } }]
      ]
    }
  })
}

const families = {
  "effect-transport": colors.blue,
  "node:net": colors.gray,
  decode: colors.blue,
  encode: colors.purple
}

const familyColor = (series: string): string =>
  Object.entries(families).find(([family]) => series.startsWith(family))?.[1] ?? colors.orange

/** Curves on logarithmic axes, which have no place for what may be 0, unless `x` begins with 0. */
export const curves = (
  title: string,
  x: string,
  y: string,
  all: ReadonlyArray<Measured & { readonly x: number }>
): Promise<string> => {
  const ticks = [...new Set(all.map((value) => value.x))]
  const isLinear = ticks.includes(0)
  const values = all.filter(({ min }) => isLinear || min > 0)
  const scale = isLinear ? { type: "linear" } : { type: "log", nice: false, padding: 16 }
  const axis = { values: ticks, format: ",d", labelOverlap: false }
  const color = { field: "series", type: "nominal", scale: { domain: names(all), range: palette } }
  return render({
    title,
    data: { values },
    width: 640,
    height: 320,
    encoding: { x: { field: "x", type: "quantitative", title: x, scale, axis }, color },
    layer: [
      {
        mark: { type: "line", point: { size: 40, filled: true } },
        encoding: { y: { field: "median", type: "quantitative", title: y, scale, axis: { tickCount: 6 } } }
      },
      {
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: { y: { field: "min", type: "quantitative" }, y2: { field: "max" } }
      }
    ]
  })
}

/** Parts of a whole, a bar for each. */
export const shares = (
  title: string,
  groups: ReadonlyArray<
    { readonly name: string; readonly values: ReadonlyArray<{ series: string; part: string; share: number }> }
  >
): Promise<string> => {
  const values = groups.flatMap(({ name, values }) => values.map((value) => ({ group: name, ...value })))
  const parts = [...new Set(values.map(({ part }) => part))]
  return render({
    title,
    data: { values: values.map((value) => ({ ...value, order: parts.indexOf(value.part) })) },
    columns: 2,
    facet: { field: "group", type: "nominal", sort: groups.map(({ name }) => name), title: null },
    spec: {
      width: 250,
      height: { step: 18 },
      mark: { type: "bar", height: 13 },
      encoding: {
        y: { field: "series", type: "nominal", sort: null, title: null },
        x: { field: "share", type: "quantitative", title: "server CPU, %", scale: { domain: [0, 100] } },
        order: { field: "order" },
        color: { field: "part", type: "nominal", sort: null, scale: { domain: parts, range: palette } }
      }
    }
  })
}
