export type ViolationKind =
  | 'silently lost'
  | 'duplicated'
  | 'reordered'
  | 'two positions'
  | 'one position twice'
  | 'refused but delivered'
  | 'never published'
  | 'wrong room'
  | 'needlessly announced'
  | 'lost despite its replicas'
  | 'gave up'
  | 'gateway'

/** One broken rule, with the facts to look into it. */
export interface Violation {
  kind: ViolationKind
  what: string
  context: string[]
}

const KEPT_PER_KIND = 50

/** Counts every violation and keeps the first few of each kind. */
export class Violations {
  readonly kept: Violation[] = []
  readonly counts = new Map<ViolationKind, number>()

  add(kind: ViolationKind, what: string, context: () => string[]): void {
    const count = (this.counts.get(kind) ?? 0) + 1
    this.counts.set(kind, count)
    if (count <= KEPT_PER_KIND) this.kept.push({ kind, what, context: context() })
  }

  count(kind: ViolationKind): number {
    return this.counts.get(kind) ?? 0
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0)
  }
}
