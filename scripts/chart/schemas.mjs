import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Ajv from 'ajv'
import Ajv2020 from 'ajv/dist/2020.js'
import { parse, parseAllDocuments } from 'yaml'

const CRDS = {
  gateway: 'config/crd/standard',
  prometheus: 'example/prometheus-operator-crd',
  keda: 'config/crd/bases',
}

/**
 * A function that lists the mistakes of a document; an unknown field is one too. It throws for a kind that none of the modules
 * knows. `kubernetes` is the directory of one Kubernetes release, `dirs` has those of the operators.
 */
export function loadSchemas(kubernetes, dirs) {
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, code: { regExp: goRegExp } })
  const swagger = JSON.parse(readFileSync(join(kubernetes, 'api/openapi-spec/swagger.json'), 'utf8'))
  const refs = new Map()
  for (const [name, definition] of Object.entries(swagger.definitions)) {
    for (const gvk of definition['x-kubernetes-group-version-kind'] ?? []) {
      refs.set(keyOf(gvk.group, gvk.version, gvk.kind), { $ref: `kubernetes#/definitions/${name}` })
    }
    closeObjects(definition)
  }
  // Kubernetes describes these two as strings, though their JSON may be a number.
  swagger.definitions['io.k8s.apimachinery.pkg.util.intstr.IntOrString'] = { type: ['integer', 'string'] }
  swagger.definitions['io.k8s.apimachinery.pkg.api.resource.Quantity'] = { type: ['number', 'string'] }
  ajv.addSchema({ $id: 'kubernetes', definitions: swagger.definitions })

  for (const [name, folder] of Object.entries(CRDS)) addCrds(join(dirs[name], folder), refs)

  const compiled = new Map()
  return document => {
    const [group, version] = document.apiVersion.includes('/')
      ? document.apiVersion.split('/')
      : ['', document.apiVersion]
    const key = keyOf(group, version, document.kind)
    const schema = refs.get(key)
    if (schema === undefined)
      return [`${document.apiVersion} ${document.kind} is no kind that Kubernetes or an operator knows`]
    if (!compiled.has(key)) compiled.set(key, ajv.compile(schema))
    const validate = compiled.get(key)
    return validate(document) ? [] : validate.errors.map(describe)
  }
}

/** The mistakes that Compose's own schema finds in a compose file; `directory` is that of the compose-go module. */
export function findComposeErrors(text, directory) {
  const schema = JSON.parse(readFileSync(join(directory, 'schema/compose-spec.json'), 'utf8'))
  const validate = new Ajv2020({ strict: false, allErrors: true, validateFormats: false }).compile(schema)
  return validate(parse(text, { merge: true })) ? [] : validate.errors.map(describe)
}

function addCrds(folder, refs) {
  for (const file of readdirSync(folder).filter(name => name.endsWith('.yaml'))) {
    for (const { spec } of parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map(document =>
      document.toJS(),
    )) {
      for (const { name, schema } of spec?.versions ?? []) {
        const root = schema.openAPIV3Schema
        closeObjects(root)
        root.properties.metadata = { $ref: 'kubernetes#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }
        refs.set(keyOf(spec.group, name, spec.names.kind), root)
      }
    }
  }
}

function keyOf(group, version, kind) {
  return `${group}/${version}/${kind}`
}

/** Makes unknown fields mistakes, and gives fields that are numbers or strings both types. */
function closeObjects(schema) {
  if (schema['x-kubernetes-int-or-string']) {
    delete schema.anyOf
    schema.type = ['integer', 'string']
  }
  for (const child of Object.values(schema.properties ?? {})) closeObjects(child)
  if (schema.items) closeObjects(schema.items)
  if (typeof schema.additionalProperties === 'object') closeObjects(schema.additionalProperties)
  // The parts of anyOf, oneOf and allOf stay open: each describes some of the fields only.
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] || schema.additionalProperties !== undefined
  if (schema.properties && !isOpen) schema.additionalProperties = false
}

function describe(error) {
  const extra = error.params.additionalProperty ?? error.params.allowedValues?.join(', ')
  return `${error.instancePath || '/'} ${error.message}${extra === undefined ? '' : `: ${extra}`}`
}

/** The operators' patterns are Go's, whose (?i) JavaScript writes as a flag. */
function goRegExp(pattern, flags) {
  return pattern.includes('(?i)') ? new RegExp(pattern.replace('(?i)', ''), `${flags}i`) : new RegExp(pattern, flags)
}
goRegExp.code = 'goRegExp'
