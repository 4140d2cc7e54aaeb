import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { InvalidConfig } from '../failures.js'
import { type SettingKind, shownSetting } from '../redact.js'
import { type Config, ConfigSchema } from './config.js'
import { contradictions, exposure, type NameOf, type Rule } from './rules.js'

/** A variable of the table in docs/configuration.md. */
export interface Variable {
  readonly name: keyof Config
  readonly env: string
  readonly description: string
  readonly default: unknown
}

/** Every variable, in the order of the table. */
export const VARIABLES: readonly Variable[] = Object.entries(ConfigSchema.properties).map(([name, schema]) => ({
  // Safe: the entries of an object schema's properties are the type's keys.
  name: name as keyof Config,
  env: String(schema.env),
  description: String(schema.description),
  default: schema.default,
}))

/**
 * The configuration that the environment describes. An empty variable counts as not set.
 * @throws InvalidConfig  lists every bad or contradictory variable by name, value and what is allowed; also a gateway that
 *   would listen beyond loopback without credentials
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given: Record<string, unknown> = {}
  for (const { name, env: variable } of VARIABLES) {
    const value = env[variable]
    if (value !== undefined && value !== '') given[name] = fromText(ConfigSchema.properties[name], value)
  }
  return check(given, name => ConfigSchema.properties[name].env, [contradictions, exposure])
}

/**
 * The configuration that an embedding application describes.
 * @throws InvalidConfig  lists every bad option by name, value and what is allowed
 */
export function checkOptions(options: Partial<Config>): Config {
  return check({ ...options }, name => name, [contradictions])
}

/** The value of a setting as it may be shown; `null` for one that must not be shown. */
export function shownValueOf(name: keyof Config, value: unknown): string | null {
  return shownSetting(kindOf(ConfigSchema.properties[name]), value)
}

function check(given: Record<string, unknown>, nameOf: NameOf, rules: readonly Rule[]): Config {
  const problems = Object.keys(given)
    .filter(name => !Object.hasOwn(ConfigSchema.properties, name))
    .map(name => `${name} is not an option`)
  const bad: string[] = []
  for (const { name } of VARIABLES) {
    const schema: TSchema = ConfigSchema.properties[name]
    given[name] ??= structuredClone(schema.default)
    const value = given[name]
    if (value !== undefined && !Value.Check(schema, value)) {
      problems.push(`${nameOf(name)} is ${shownValue(schema, value)} but must be ${allowedBy(schema)}`)
      bad.push(nameOf(name))
      given[name] = structuredClone(schema.default)
    }
    if (given[name] === undefined) delete given[name]
  }
  const known = Object.fromEntries(
    Object.entries(given).filter(([name]) => Object.hasOwn(ConfigSchema.properties, name)),
  )
  if (Value.Check(ConfigSchema, known)) {
    // A rule about a bad value cannot be judged; the rules about the other values can.
    const about = (name: string) => new RegExp(`(?<!\\w)${name}(?!\\w)`)
    const contrary = rules.flatMap(rule => rule(known, nameOf))
    problems.push(...contrary.filter(problem => !bad.some(name => about(name).test(problem))))
    if (problems.length === 0) return known
  }
  throw new InvalidConfig(problems.join('\n'))
}

function fromText(schema: TSchema, value: string): unknown {
  if (schema.type === 'integer') return /^-?\d{1,15}$/.test(value) ? Number(value) : value
  if (schema.type === 'boolean') return value === 'true' || (value === 'false' ? false : value)
  if (schema.type === 'array')
    return value
      .split(',')
      .map(item => item.trim())
      .filter(item => item !== '')
  return value
}

function shownValue(schema: TSchema, value: unknown): string {
  const shown = shownSetting(kindOf(schema), value)
  return shown === null ? 'set to something' : `'${shown}'`
}

function kindOf(schema: TSchema): SettingKind | undefined {
  // Safe: the schemas in config.ts have no other kinds.
  return schema.kind as SettingKind | undefined
}

function allowedBy(schema: TSchema): string {
  if (schema.allowed !== undefined) return String(schema.allowed)
  if (schema.type === 'integer') return `${schema.minimum}-${schema.maximum}`
  if (schema.type === 'boolean') return 'true or false'
  // Safe: every union in config.ts is one of literals.
  if (schema.anyOf !== undefined) return (schema.anyOf as { const: string }[]).map(each => `'${each.const}'`).join(', ')
  if (schema.const !== undefined) return `'${schema.const}'`
  return 'a text of at least one character'
}
