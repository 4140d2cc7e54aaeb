import { parser } from '@prometheus-io/lezer-promql'

/** The mistakes that Prometheus' own grammar finds in an expression. */
export function findPromqlErrors(expression) {
  const wrong = []
  // Grafana replaces this name by a duration.
  const text = expression.replaceAll('$__rate_interval', '1m')
  parser.parse(text).iterate({
    enter: node => {
      if (node.type.isError) wrong.push(`'${expression}' is no PromQL near '${text.slice(node.from, node.from + 20)}'`)
    },
  })
  return wrong
}
