import { parser } from '@prometheus-io/lezer-promql'

/** What Prometheus' own grammar finds wrong with an expression. */
export function findPromqlErrors(expression) {
  const wrong = []
  // Grafana puts a duration where this name stands.
  const text = expression.replaceAll('$__rate_interval', '1m')
  parser.parse(text).iterate({
    enter: node => {
      if (node.type.isError) wrong.push(`'${expression}' is no PromQL near '${text.slice(node.from, node.from + 20)}'`)
    },
  })
  return wrong
}
