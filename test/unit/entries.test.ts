import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import * as mistakes from '../../src/errors.js'
import * as failures from '../../src/failures.js'

// What a package's user can name: every type and error that an entry's signatures mention is exported by that entry.
const ENTRIES = ['src/app.d.ts', 'src/emitter.d.ts', 'src/client/client.d.ts']
const DIST = fileURLToPath(new URL('../../', import.meta.url))
const ERRORS: ReadonlySet<string> = new Set([...Object.keys(mistakes), ...Object.keys(failures)])

const program = ts.createProgram(
  ENTRIES.map(entry => `${DIST}${entry}`),
  { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, skipLibCheck: true },
)
const checker = program.getTypeChecker()

const original = (symbol: ts.Symbol) =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol

/** Our own symbols that the declarations of this one mention, and the errors that their comments say they throw. */
function mentionsOf(symbol: ts.Symbol): { types: Set<ts.Symbol>; errors: Set<string> } {
  const types = new Set<ts.Symbol>()
  const errors = new Set<string>()
  const visit = (node: ts.Node): void => {
    for (const tag of ts.getJSDocTags(node).filter(({ tagName }) => tagName.text === 'throws')) {
      const said = ts.getTextOfJSDocComment(tag.comment) ?? ''
      for (const [name] of said.matchAll(/\b[A-Z]\w+/g)) if (ERRORS.has(name)) errors.add(name)
    }
    if (ts.isTypeReferenceNode(node) || ts.isExpressionWithTypeArguments(node)) {
      const name = ts.isTypeReferenceNode(node) ? node.typeName : node.expression
      const found = checker.getSymbolAtLocation(name)
      if (found !== undefined && isOurs(original(found))) types.add(original(found))
    }
    ts.forEachChild(node, visit)
  }
  // What a class works with inside is not the entry's: it is exported to be named, as the type of `app.tidings`.
  for (const declaration of symbol.declarations ?? []) if (!ts.isClassDeclaration(declaration)) visit(declaration)
  return { types, errors }
}

function isOurs(symbol: ts.Symbol): boolean {
  const [declaration] = symbol.declarations ?? []
  if (declaration === undefined || ts.isTypeParameterDeclaration(declaration)) return false
  const { fileName } = declaration.getSourceFile()
  return fileName.startsWith(DIST) && !fileName.includes('node_modules')
}

for (const entry of ENTRIES) {
  t.test(`${entry} exports every type and error that its signatures mention`, async t => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(`${DIST}${entry}`)!)!
    const exported = new Map(checker.getExportsOfModule(module).map(symbol => [original(symbol), symbol.name]))
    t.ok(exported.size > 1, `${exported.size} exports`)
    const names = new Set(exported.values())
    for (const [symbol, name] of exported) {
      const { types, errors } = mentionsOf(symbol)
      for (const type of types) t.ok(exported.has(type), `${name} mentions ${type.name}`)
      for (const error of errors) t.ok(names.has(error), `${name} throws ${error}`)
    }
  })
}
